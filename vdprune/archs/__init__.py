"""Network architectures by name.

The registry names classes without importing them, so that a command line can list them at no cost.
A new architecture is a file here with a `VariationalDropoutChain` in it, and a line below.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdprune.errors import ArgumentError

if TYPE_CHECKING:
    from vdprune.chain import VariationalDropoutChain


@dataclass(frozen=True)
class ArchEntry:
    """Where an architecture is found.

    Args:
        module: Its module in this package.
        name: The class, called with input_shape, classes and theta_std.
        description: One line for people.
    """

    module: str
    name: str
    description: str


ARCHS = {
    "lenet300": ArchEntry("lenet300", "LeNet300", "LeNet-300-100, fully connected 300-100"),
    "lenet5": ArchEntry("lenet5", "LeNet5", "LeNet-5-Caffe, convolutions 20-50, 500"),
}


def check_arch_size(arch_kwargs: Any, shapes: list[tuple[int, ...]]) -> None:
    """Refuse to build a network that is larger than the arrays of the file that describes it.

    Args:
        arch_kwargs: What `build_arch` is to be given, out of a file.
        shapes: Shapes of the arrays in that file.

    Raises:
        ValueError: No array is as large as the inputs or the number of classes would have it.
    """
    if not isinstance(arch_kwargs, dict):
        raise ValueError(f"its arch_kwargs are {arch_kwargs!r}")
    input_shape, classes = arch_kwargs.get("input_shape"), arch_kwargs.get("classes")
    if not isinstance(input_shape, list) or tuple(input_shape) not in shapes:
        raise ValueError(f"its input_shape is {input_shape}, which is the shape of no array in it")
    if classes not in {shape[0] for shape in shapes if shape}:
        raise ValueError(f"it tells of {classes} classes, which is the length of no array in it")


def build_arch(arch: str, **kwargs: Any) -> "VariationalDropoutChain":
    """Make a network with ordinary layers, every parameter initialised.

    Args:
        arch: A name in `ARCHS`.
        **kwargs: ``input_shape`` (shape of one example), ``classes`` and ``theta_std`` (standard
            deviation of the initial weights).

    Returns:
        The network; its ``to_variational_dropout`` makes the layers variational.

    Raises:
        ArgumentError: There is no such architecture, or it can't take inputs of that shape.
    """
    if arch not in ARCHS:
        raise ArgumentError(f"there is no arch {arch!r}: choose from {', '.join(ARCHS)}")
    entry = ARCHS[arch]
    module = importlib.import_module(f"vdprune.archs.{entry.module}")
    return getattr(module, entry.name)(**kwargs)
