"""A Chainer model out of a weight file."""

from typing import Any

from chainer import Chain
from chainer.serializers import DictionarySerializer, NpzDeserializer

from vdprune.archs import ARCHS, build_arch, check_arch_size
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.export.collecting import is_of_training
from vdprune.formats.weights import Weights


def build_chain(weights: Weights) -> Chain:
    """Make a network, with ordinary layers.

    Args:
        weights: What a weight file holds.

    Returns:
        The network.

    Raises:
        ArgumentError: It is not of one of the archs that `build_arch` knows.
        FileFormatError: The arrays are not those of its arch.
    """
    arch, kwargs = weights.header["arch"], weights.header["arch_kwargs"]
    if arch not in ARCHS:
        raise ArgumentError(
            f"the file is of a {arch}, which is none of {', '.join(ARCHS)}: make your own model and "
            "load the arrays into it, or run the file with vdprune.runtime"
        )
    arrays = {**weights.others, **weights.weights}
    try:
        check_arch_size(kwargs, [array.shape for array in arrays.values()])
        model = build_arch(arch, **kwargs)
        NpzDeserializer({**arrays, **_state_of_training(model)}).load(model)
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        raise FileFormatError(f"the arrays can't be made into a {arch}: {error}") from error
    return model


def _state_of_training(model: Chain) -> dict[str, Any]:
    serializer = DictionarySerializer()
    serializer.save(model)
    return {path: value for path, value in serializer.target.items() if is_of_training(path)}
