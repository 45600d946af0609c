"""What every weight file holds, whatever its format: a pruned network's arrays and its origin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from chainer import Chain, get_device
from chainer.links import Convolution2D, Linear
from chainer.serializers import DictionarySerializer, NpzDeserializer

from vdprune.archs import build_arch, check_arch_size
from vdprune.checkpoint import Checkpoint
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.sparsity import NetworkSparsity, measure_sparsity

FORMAT = "vdprune-weights"
FORMAT_VERSION = 1
# Persistent values that inference has no use for; N counts the batches of BatchNormalization's
# fine-tuning.
_TRAINING_STATE = ("kl_coef", "iteration", "N")
_HEADER_FIELDS = ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "encoding")


@dataclass(frozen=True)
class Weights:
    """A pruned network's arrays.

    Args:
        header: Where it comes from: arch, arch_kwargs, dataset, input_shape, threshold and, in
            a file, encoding.
        weights: Weight array of each variational layer by its path, as ``l1/W``; cut weights are
            zero.
        others: Everything else that inference needs: biases, statistics, input scaling.
    """

    header: dict[str, Any]
    weights: dict[str, numpy.ndarray]
    others: dict[str, numpy.ndarray]

    def sparsity(self) -> NetworkSparsity:
        """Count the weights.

        Returns:
            The counts per layer and in all.
        """
        return measure_sparsity(
            (path.removesuffix("/W"), W) for path, W in sorted(self.weights.items())
        )

    def build(self) -> Chain:
        """Make the network, with ordinary layers.

        Returns:
            The network.
        """
        model = build_arch(self.header["arch"], **self.header["arch_kwargs"])
        serializer = DictionarySerializer()
        serializer.save(model)
        new = {path: value for path, value in serializer.target.items() if _is_of_training(path)}
        NpzDeserializer({**self.others, **self.weights, **new}).load(model)
        return model


def collect_weights(checkpoint: Checkpoint) -> Weights:
    """Take what inference needs out of a checkpoint.

    Args:
        checkpoint: A network; weights above its threshold are taken as zero.

    Returns:
        Its arrays, on the CPU.
    """
    cpu = get_device("@numpy")
    serializer = DictionarySerializer()
    serializer.save(checkpoint.model)
    # sorted, because Chainer walks through a set: the same network makes the same bytes
    arrays = {
        path: numpy.asarray(cpu.send(value))
        for path, value in sorted(serializer.target.items())
        if not _is_of_training(path)
    }
    weights = {}
    for name, link in checkpoint.model.named_variational_links():
        weights[f"{name}/W"] = cpu.send(link.masked_W().array)
        del arrays[f"{name}/W"], arrays[f"{name}/log_sigma2"]
    header = {
        "arch": checkpoint.arch,
        "arch_kwargs": checkpoint.arch_kwargs,
        "dataset": checkpoint.dataset,
        "input_shape": list(checkpoint.input_shape),
        "threshold": checkpoint.threshold,
    }
    return Weights(header, weights, arrays)


def expected_shapes(
    path: Path, header: dict[str, Any], shapes: list[tuple[int, ...]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell what arrays a network of this header has, before any of them is read.

    Args:
        path: The file, for the messages.
        header: Its header.
        shapes: Shapes of the arrays in the file.

    Returns:
        Shapes of the weights and of the other arrays, by path.

    Raises:
        FileFormatError: The header describes no network.
        KeyError: The header is incomplete.
        ValueError: It does not fit the arrays.
    """
    missing = [name for name in _HEADER_FIELDS if name not in header]
    if missing:
        raise KeyError(f"its header has no {', '.join(missing)}")
    check_arch_size(header["arch_kwargs"], shapes)
    if header["input_shape"] != header["arch_kwargs"]["input_shape"]:
        raise ValueError(f"its input_shape is {header['input_shape']} in one place only")
    try:
        model = build_arch(header["arch"], **header["arch_kwargs"])
    except (ArgumentError, TypeError) as error:
        raise FileFormatError(f"{path} can't be made into a network: {error}") from error
    serializer = DictionarySerializer()
    serializer.save(model)
    weights = {
        f"{name.lstrip('/')}/W": link.W.shape
        for name, link in model.namedlinks()
        if isinstance(link, Linear | Convolution2D)
    }
    others = {
        name: numpy.shape(value)
        for name, value in serializer.target.items()
        if name not in weights and not _is_of_training(name)
    }
    return weights, others


def _is_of_training(path: str) -> bool:
    return path.rpartition("/")[2] in _TRAINING_STATE
