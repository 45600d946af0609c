"""Data sets by name or path."""

from pathlib import Path

from vdprune.datasets.cifar import load_cifar
from vdprune.datasets.dataset import Dataset, Split, make_dataset
from vdprune.datasets.files import load_files
from vdprune.datasets.shipped import load_mnist
from vdprune.errors import ArgumentError

__all__ = ["KNOWN_NAMES", "Dataset", "Split", "load_dataset", "make_dataset"]

KNOWN_NAMES = ("mnist", "cifar10", "cifar100")


def load_dataset(name: str, data_root: str | Path | None = None) -> Dataset:
    """Load a data set.

    Args:
        name: ``mnist`` (shipped with the package), ``cifar10``, ``cifar100``, or a path: see
            `vdprune.datasets.files.load_files`.
        data_root: For CIFAR, the folder of the original batches; None to download them.

    Returns:
        The data set.

    Raises:
        DatasetError: It can't be found, read or used.
        ArgumentError: ``data_root`` is given where it has no meaning.
    """
    if name in ("cifar10", "cifar100"):
        return load_cifar(name, None if data_root is None else Path(data_root))
    if data_root is not None:
        raise ArgumentError(
            f"data_root is given with the data set {name!r}: it is for cifar10 and cifar100"
        )
    if name == "mnist":
        return load_mnist()
    return load_files(Path(name))
