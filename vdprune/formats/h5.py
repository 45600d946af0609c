"""Weight files in HDF5."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy

from vdprune.formats.layout import pack, unpack
from vdprune.formats.weights import FORMAT, FORMAT_VERSION, Weights
from vdprune.hdf5 import named_datasets, new_h5, open_h5, read_json_attribute

# AnnData's marks: anndata.io.read_elem reads each part of the file, and of file["/"] the whole
_DICT = {"encoding-type": "dict", "encoding-version": "0.1.0"}
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
_SCALAR = {"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"}
_STRING = {"encoding-type": "string", "encoding-version": "0.2.0"}
_GRAPH = "graph"
_MOST_BYTES = 2**24  # of a graph


def write_h5(path: Path, weights: Weights, encoding: str) -> None:
    """Write a weight file.

    Args:
        path: The file.
        weights: What it shall hold.
        encoding: ``csr`` or ``dense``.

    Raises:
        FileWriteError: It can't be written.
    """
    with new_h5(path, FORMAT, FORMAT_VERSION) as file:
        for name, value in weights.header.items():
            file.attrs[name] = json.dumps(value) if isinstance(value, dict) else value
        file.attrs["encoding"] = encoding
        # no attribute: those of HDF5 end at 64 kB
        graph = file.create_dataset(_GRAPH, data=numpy.bytes_(json.dumps(weights.graph.to_json())))
        graph.attrs.update(_STRING)
        for name, attributes, members in pack(weights, encoding):
            for member, array in members.items():
                _write_array(file, member, array)
            file[name].attrs.update(attributes)
        for name, array in weights.others.items():
            _write_array(file, name, array)
        file.visititems(_mark_group)
        file.attrs.update(_DICT)


def read_h5(path: Path) -> Weights:
    """Read a weight file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        FileFormatError: It can't be read, or its arrays do not fit its header.
    """
    with open_h5(path, {FORMAT: FORMAT_VERSION}) as file:
        header = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in file.attrs.items()
        }
        header["arch_kwargs"] = read_json_attribute(file, "arch_kwargs")
        datasets = named_datasets(file)
        empty = [name for name, item in datasets.items() if item.shape is None]
        if empty:
            raise ValueError(f"{empty[0]} holds no array")
        if _GRAPH not in datasets:
            raise KeyError(f"it has no {_GRAPH}")
        if datasets[_GRAPH].nbytes > _MOST_BYTES:
            raise ValueError(f"its {_GRAPH} is too long")
        graph = json.loads(datasets.pop(_GRAPH)[()])
        shapes = {name: item.shape for name, item in datasets.items()}
        size = path.stat().st_size
        return unpack(header, graph, shapes, lambda name: numpy.asarray(datasets[name]), size)


def _write_array(file: h5py.File, name: str, array: numpy.ndarray) -> None:
    options = {"compression": "gzip", "shuffle": True} if array.nbytes > 1024 else {}
    dataset = file.create_dataset(name, data=array, **options)
    dataset.attrs.update(_ARRAY if array.ndim else _SCALAR)


def _mark_group(name: str, item: Any) -> None:
    if isinstance(item, h5py.Group) and "encoding-type" not in item.attrs:
        item.attrs.update(_DICT)
