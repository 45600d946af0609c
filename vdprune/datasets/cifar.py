"""CIFAR-10 and CIFAR-100, downloaded by Chainer or from a folder of the original batches."""

import pickle
from pathlib import Path
from typing import Any

import numpy

from vdprune.datasets.dataset import Dataset, make_dataset
from vdprune.errors import DatasetError

_Arrays = tuple[numpy.ndarray, numpy.ndarray]

_IMAGE_BYTES = 3 * 32 * 32
# files of training and test batches, and which of the label bytes before an image is the label
_BINARY = {
    "cifar10": ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"], (0, 1)),
    "cifar100": (["train.bin"], ["test.bin"], (1, 2)),
}
_PICKLED = {
    "cifar10": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "labels"),
    "cifar100": (["train"], ["test"], "fine_labels"),
}


def load_cifar(name: str, data_root: Path | None) -> Dataset:
    """Load CIFAR-10 or CIFAR-100.

    Args:
        name: ``cifar10`` or ``cifar100``.
        data_root: Folder with the original batches, binary or Python version; None to let Chainer
            download them.

    Returns:
        The data set, images of shape (3, 32, 32), uint8.

    Raises:
        DatasetError: The batches can't be had or read.
    """
    if data_root is None:
        train, test = _download(name)
        return make_dataset(name, train, test)
    train, test = _read_folder(name, data_root)
    return make_dataset(name, train, test, str(data_root))


def _read_folder(name: str, folder: Path) -> list[_Arrays]:
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {str(folder)!r}: give the one that holds the original batches of {name}"
        )
    train, test, label_at = _BINARY[name]
    if (folder / train[0]).exists():
        return [_read_binary([folder / f for f in files], *label_at) for files in (train, test)]
    pickled_train, pickled_test, key = _PICKLED[name]
    if (folder / pickled_train[0]).exists():
        return [
            _read_pickled([folder / f for f in files], key)
            for files in (pickled_train, pickled_test)
        ]
    raise DatasetError(
        f"{folder} has neither {train[0]} nor {pickled_train[0]}: give the folder that holds the "
        f"original batches of {name}"
    )


def _download(name: str) -> list[_Arrays]:
    from chainer.datasets import get_cifar10, get_cifar100

    get = {"cifar10": get_cifar10, "cifar100": get_cifar100}[name]
    try:
        train, test = get(scale=255.0)
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{name} could not be downloaded ({error}): get the original batches another way and "
            "give their folder with --data-root"
        ) from error
    splits = [split._datasets for split in (train, test)]
    return [(numpy.rint(x).astype(numpy.uint8), t) for x, t in splits]


def _read_binary(paths: list[Path], label: int, labels: int) -> _Arrays:
    record = labels + _IMAGE_BYTES
    batches = []
    for path in paths:
        data = numpy.frombuffer(_read_bytes(path), numpy.uint8)
        if data.size == 0 or data.size % record:
            raise DatasetError(
                f"{path} has {data.size} bytes: expected a multiple of {record}, one record per "
                "image"
            )
        batches.append(data.reshape(-1, record))
    records = numpy.concatenate(batches)
    return records[:, labels:].reshape(-1, 3, 32, 32), records[:, label].astype(numpy.int32)


def _read_pickled(paths: list[Path], key: str) -> _Arrays:
    images, labels = [], []
    for path in paths:
        _read_bytes(path)
        try:
            with path.open("rb") as file:
                batch = _ArrayUnpickler(file, encoding="latin1").load()
            data = numpy.asarray(batch["data"], numpy.uint8).reshape(-1, 3, 32, 32)
            labels.append(numpy.asarray(batch[key], numpy.int32))
        except Exception as error:  # whatever a damaged pickle makes the unpickler raise
            raise DatasetError(f"{path} is not a batch of CIFAR images: {error}") from error
        images.append(data)
    return numpy.concatenate(images), numpy.concatenate(labels)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Loads what the original batches hold, lists, strings and NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")
        allowed = {
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        if not hasattr(numpy, "_core"):
            module = module.replace("numpy._core", "numpy.core")
        return super().find_class(module, name)
