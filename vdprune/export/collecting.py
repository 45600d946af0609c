"""What a weight file holds, taken out of a Chainer model."""

from typing import Any

import numpy
from chainer import Chain, get_device
from chainer.serializers import DictionarySerializer

from vdprune.checkpoint import Checkpoint
from vdprune.conversion import named_variational_links
from vdprune.errors import ArgumentError
from vdprune.export.tracing import trace
from vdprune.formats.weights import Weights

# Persistent values that inference has no use for; N counts the batches of BatchNormalization's
# fine-tuning.
_TRAINING_STATE = ("kl_coef", "iteration", "N")


def collect_checkpoint(checkpoint: Checkpoint) -> Weights:
    """Take what inference needs out of a checkpoint.

    Args:
        checkpoint: A network; weights above its threshold are taken as zero.

    Returns:
        Its arrays, on the CPU.
    """
    origin = {
        "arch": checkpoint.arch,
        "arch_kwargs": checkpoint.arch_kwargs,
        "dataset": checkpoint.dataset,
        "threshold": checkpoint.threshold,
    }
    return _collect(checkpoint.model, checkpoint.input_shape, origin)


def collect_chain(chain: Chain, input_shape: tuple[int, ...]) -> Weights:
    """Take what inference needs out of a model.

    Args:
        chain: The model; weights above their layer's threshold are taken as zero.
        input_shape: Shape of one example.

    Returns:
        Its arrays, on the CPU.

    Raises:
        ArgumentError: It has no variational layers, or does what a graph can't say.
    """
    thresholds = [link.loga_threshold for _, link in named_variational_links(chain)]
    if not thresholds:
        raise ArgumentError(
            f"{type(chain).__name__} has no variational layers: convert it with "
            "vdprune.to_variational_dropout and train it"
        )
    origin = {
        "arch": type(chain).__name__,
        "arch_kwargs": {},
        "dataset": "",
        "threshold": max(thresholds),
    }
    return _collect(chain, tuple(input_shape), origin)


def _collect(chain: Chain, input_shape: tuple[int, ...], origin: dict[str, Any]) -> Weights:
    cpu = get_device("@numpy")
    model = chain.copy("copy")
    model.to_device(cpu)
    graph, used = trace(model, input_shape)
    serializer = DictionarySerializer()
    serializer.save(model)
    # sorted, because Chainer walks through a set: the same network makes the same bytes
    arrays = {
        path: numpy.asarray(value)
        for path, value in sorted({**used, **serializer.target}.items())
        if value is not None and path.rpartition("/")[2] not in _TRAINING_STATE
    }
    weights = {}
    links = named_variational_links(model)
    for name, link in links:
        weights[f"{name}/W"] = link.masked_W().array
        del arrays[f"{name}/W"], arrays[f"{name}/log_sigma2"]
    header = {**origin, "input_shape": list(input_shape), "layers": [name for name, _ in links]}
    return Weights(header, graph, weights, arrays)
