"""What a weight file holds, taken out of a Chainer model."""

from typing import Any

from chainer import Chain, get_device

from vdprune.checkpoint import Checkpoint
from vdprune.conversion import named_masked_links, named_variational_links
from vdprune.errors import ArgumentError
from vdprune.export.tracing import trace
from vdprune.formats.weights import Weights
from vdprune.threshold import check_loga_threshold


def collect_checkpoint(checkpoint: Checkpoint) -> Weights:
    """Take what inference needs out of a checkpoint.

    Args:
        checkpoint: A network; weights above its threshold are taken as zero.

    Returns:
        Its arrays, on the CPU.

    Raises:
        ArgumentError: Its threshold is one that files can't hold.
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
        ArgumentError: It has no variational layers, a threshold that files can't hold, or does what a
            graph can't say.
    """
    thresholds = [link.loga_threshold for _, link in named_variational_links(chain)]
    if not thresholds and named_masked_links(chain):
        raise ArgumentError(
            f"{type(chain).__name__} was made sparse by to_cpu_sparse, from which there is no way back: "
            "export it before that, or load its checkpoint again"
        )
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
    check_loga_threshold(origin["threshold"])
    cpu = get_device("@numpy")
    model = chain.copy("copy")
    model.to_device(cpu)
    graph, used = trace(model, input_shape)
    layers = [name for name, _ in named_variational_links(model) if f"{name}/W" in used]
    # a negative weight times the 0 of a mask is -0.0, which takes room in a file; plus 0 it is 0
    weights = {f"{name}/W": used[f"{name}/W"] + 0 for name in layers}
    others = {path: array for path, array in sorted(used.items()) if path not in weights}
    header = {**origin, "input_shape": list(input_shape), "layers": layers}
    return Weights(header, graph, weights, others)
