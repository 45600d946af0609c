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
