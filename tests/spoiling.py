"""What spoils an HDF5 file that is whole otherwise."""

from collections.abc import Callable

import h5py

Spoil = Callable[[h5py.File], None]


def replace_array(name: str, array: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]
        file[name] = array

    return spoil


def remove(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]

    return spoil


def make_group(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return spoil


def claim(name: str, shape: tuple[int, ...]) -> Spoil:
    """Announce an array of a shape, with nothing in it."""

    def spoil(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, "f4", chunks=tuple(min(n, 1024) for n in shape))

    return spoil


def set_attribute(name: str, value: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value

    return spoil
