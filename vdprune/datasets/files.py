"""The user's own data: a folder of IDX files, an .npz or an .h5."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy

from vdprune.datasets.dataset import Dataset, make_dataset
from vdprune.datasets.idx import read_idx_folder
from vdprune.errors import DatasetError
from vdprune.hdf5 import check_plausible_size

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_files(path: Path) -> Dataset:
    """Load a data set from a path.

    Args:
        path: A folder with the four IDX files of MNIST's layout, or an .npz or .h5 file with
            x_train, y_train, x_test and y_test.

    Returns:
        The data set, named by its absolute path.

    Raises:
        DatasetError: There is nothing there, or nothing that can be used.
    """
    name = str(path.resolve())
    if path.is_dir():
        parts = read_idx_folder(path)
        return make_dataset(
            name, (parts["x_train"], parts["t_train"]), (parts["x_test"], parts["t_test"])
        )
    if not path.exists():
        raise DatasetError(
            f"there is no data set {str(path)!r}: give mnist, cifar10, cifar100, a folder of IDX "
            "files, or an .npz or .h5 file"
        )
    if h5py.is_hdf5(path):
        arrays = _read_h5(path)
    elif zipfile.is_zipfile(path):
        arrays = _read_npz(path)
    else:
        raise DatasetError(
            f"{path} is neither an .npz nor an .h5 file, or one that was cut short: expected one with "
            f"{', '.join(_KEYS)}"
        )
    x_train, t_train, x_test, t_test = arrays
    return make_dataset(name, (x_train, t_train), (x_test, t_test))


def _read_npz(path: Path) -> list[numpy.ndarray]:
    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as file:
            return _pick(path, file)
    except DatasetError:
        raise
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DatasetError(f"{path} can't be read: {error}") from error
        raise DatasetError(
            f"{path} has arrays of Python objects: save arrays of numbers, as x.astype('float32') gives"
        ) from error
    except Exception as error:  # whatever a damaged zip file makes zipfile and NumPy raise
        raise DatasetError(_tell_unreadable(path, error)) from error


def _read_h5(path: Path) -> list[numpy.ndarray]:
    try:
        with h5py.File(path, "r") as file:
            for key in set(_KEYS) & set(file):
                if isinstance(file[key], h5py.Dataset):
                    check_plausible_size(file[key])
            return _pick(path, file)
    except DatasetError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise DatasetError(_tell_unreadable(path, error)) from error


def _tell_unreadable(path: Path, error: Exception) -> str:
    """Say why a file can't be read, and what to do if it is the file's fault."""
    hint = "" if isinstance(error, PermissionError | MemoryError) else "; use another copy"
    return f"{path} can't be read: {error}{hint}"


def _pick(path: Path, file: Any) -> list[numpy.ndarray]:
    missing = [key for key in _KEYS if key not in file]
    if missing:
        raise DatasetError(
            f"{path} has no {', '.join(missing)}: expected {', '.join(_KEYS)}, found "
            f"{', '.join(file) or 'nothing'}"
        )
    return [numpy.asarray(file[key]) for key in _KEYS]
