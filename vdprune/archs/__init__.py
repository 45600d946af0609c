"""Network architectures by name.

The registry names classes without importing them, so that a command line can list them at no cost.
A new architecture is a file here with a `VariationalDropoutChain` in it, and a line below.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdprune.archs.width import VGG_FILTERS, scale_filters
from vdprune.errors import ArgumentError

if TYPE_CHECKING:
    from vdprune.chain import VariationalDropoutChain


@dataclass(frozen=True)
class ArchEntry:
    """Where an architecture is found.

    Args:
        module: Its module in this package.
        name: The class, called with input_shape, classes, theta_std and what is in options.
        description: One line for people.
        options: Names of the further arguments that it can be given.
    """

    module: str
    name: str
    description: str
    options: tuple[str, ...] = ()


ARCHS = {
    "lenet300": ArchEntry("lenet300", "LeNet300", "LeNet-300-100, fully connected 300-100"),
    "lenet5": ArchEntry("lenet5", "LeNet5", "LeNet-5-Caffe, convolutions 20-50, 500"),
    "lenet5-bn": ArchEntry(
        "lenet5_bn", "LeNet5BN", "convolutions 24-48 with BatchNormalization, 128; a teacher"
    ),
    "vgg-like": ArchEntry(
        "vgg_like",
        "VGGLike",
        "the VGG-like network for CIFAR, 13 convolutions, 512; as wide as wanted",
        ("width",),
    ),
}
_ARGUMENTS = ("input_shape", "classes", "theta_std")  # of every arch


def check_arch_size(arch_kwargs: Any, shapes: list[tuple[int, ...]]) -> None:
    """Refuse to build a network that is larger than the arrays of the file that describes it.

    Args:
        arch_kwargs: What `build_arch` is to be given, out of a file.
        shapes: Shapes of the arrays in that file.

    Raises:
        ValueError: No array is as large as the inputs, the number of classes or the width would have
            it.
    """
    if not isinstance(arch_kwargs, dict):
        raise ValueError(f"its arch_kwargs are {arch_kwargs!r}")
    input_shape, classes = arch_kwargs.get("input_shape"), arch_kwargs.get("classes")
    if not isinstance(input_shape, list) or tuple(input_shape) not in shapes:
        raise ValueError(f"its input_shape is {input_shape}, which is the shape of no array in it")
    if classes not in {shape[0] for shape in shapes if shape}:
        raise ValueError(f"it tells of {classes} classes, which is the length of no array in it")
    if "width" in arch_kwargs:
        _check_width(arch_kwargs["width"], shapes)


def _check_width(width: Any, shapes: list[tuple[int, ...]]) -> None:
    """Refuse a width unless there are arrays, as BatchNormalization has, as long as its layers."""
    try:
        counts = {scale_filters(filters, width) for block in VGG_FILTERS for filters in block}
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    missing = counts - {shape[0] for shape in shapes if len(shape) == 1}
    if missing:
        raise ValueError(
            f"its width is {width}, which makes {max(missing)} filters, the length of no array in it"
        )


def check_arch(arch: str) -> None:
    """Make sure that there is an architecture of a name.

    Args:
        arch: The name.

    Raises:
        ArgumentError: There is none.
    """
    if arch not in ARCHS:
        raise ArgumentError(f"there is no arch {arch!r}: choose from {', '.join(ARCHS)}")


def build_arch(arch: str, **kwargs: Any) -> "VariationalDropoutChain":
    """Make a network with ordinary layers, every parameter initialised.

    Args:
        arch: A name in `ARCHS`.
        **kwargs: ``input_shape`` (shape of one example), ``classes`` and ``theta_std`` (standard
            deviation of the initial weights; None for the network's own); for some what their entry
            names as options, as ``width``.

    Returns:
        The network; its ``to_variational_dropout`` makes the layers variational.

    Raises:
        ArgumentError: There is no such architecture, it has no such option, or it can't take inputs of
            that shape.
    """
    check_arch(arch)
    entry = ARCHS[arch]
    for name in kwargs:
        if name not in (*_ARGUMENTS, *entry.options):
            having = [other for other in ARCHS if name in ARCHS[other].options]
            hint = f": that is for {' and '.join(having)}" if having else ""
            raise ArgumentError(f"{arch} has no {name}{hint}")
    if kwargs.get("theta_std", 0) is None:
        del kwargs["theta_std"]
    module = importlib.import_module(f"vdprune.archs.{entry.module}")
    return getattr(module, entry.name)(**kwargs)
