"""Weight files in safetensors, under the names that PyTorch gives the arrays of such a network."""

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy

from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats.layout import unpack
from vdprune.formats.weights import FORMAT, FORMAT_VERSION, Weights
from vdprune.graph import Graph
from vdprune.storage import check_header, tell_unreadable, write_atomically
from vdprune.version import __version__

_NAMES = {
    "linear": {"W": "weight", "b": "bias"},
    "convolution_2d": {"W": "weight", "b": "bias"},
    "batch_normalization": {
        "mean": "running_mean",
        "var": "running_var",
        "gamma": "weight",
        "beta": "bias",
    },
    "scaling": {"mean": "mean", "scale": "scale"},
}
_OWN = "/"  # what the names of the other arrays begin with
_NO_TEXT = ("format_version", "arch_kwargs", "input_shape", "threshold", "layers", "compact")
_CHECKSUM = "sha256"


def write_safetensors(path: Path, weights: Weights) -> None:
    """Write a weight file; the weights are there with their zeros.

    Names and layouts are PyTorch's: ``block/0/conv/W`` is ``block.0.conv.weight``, the arrays of
    BatchNormalization are ``weight``, ``bias``, ``running_mean`` and ``running_var``. An array that is
    in no layer, or whose name another one has, is called by its path, with ``/`` in front. Chainer
    numbers the links of a Sequential in its own way: the first, then the others from the last on.

    The metadata are the header, each value a text or JSON, the ``graph`` in JSON and ``sha256``. That is
    the checksum of what is left, in the order of the names: ``[metadata, {name: [dtype, shape]}]`` as
    ``json.dumps`` of Python writes it, then the arrays' bytes.

    Args:
        path: The file.
        weights: What it shall hold.

    Raises:
        ArgumentError: safetensors is not installed.
        FileWriteError: It can't be written.
    """
    safetensors = load_safetensors()
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vdprune_version": __version__,
        **weights.header,
        "encoding": "dense",
        "graph": weights.graph.to_json(),
    }
    metadata = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in header.items()
    }
    names = _name_arrays(weights.graph)
    arrays = {
        # safetensors takes the memory as it lies there
        names.get(path, _OWN + path): numpy.asarray(array, array.dtype.newbyteorder("="), order="C")
        for path, array in {**weights.weights, **weights.others}.items()
    }
    metadata[_CHECKSUM] = _digest(metadata, arrays)
    write_atomically(path, safetensors.numpy.save(arrays, metadata))


def read_safetensors(path: Path) -> Weights:
    """Read a weight file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ArgumentError: safetensors is not installed.
        FileFormatError: It can't be read, or its arrays do not fit its header.
    """
    safetensors = load_safetensors()
    try:
        with path.open("rb"):  # whose errors say more
            pass
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            check_header(path, metadata, {FORMAT: FORMAT_VERSION})
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.pop(_CHECKSUM, None) != _digest(metadata, named):
            raise FileFormatError(
                f"{path} is damaged: its checksum does not match; use another copy"
            )
        graph = json.loads(metadata.pop("graph", "null"))
        header = {
            name: json.loads(text) if name in _NO_TEXT else text for name, text in metadata.items()
        }
        arrays = _find_paths(named, Graph.from_json(graph))
        shapes = {path: array.shape for path, array in arrays.items()}
        return unpack(header, graph, shapes, arrays.__getitem__, path.stat().st_size)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(tell_unreadable(path, error)) from error
    except Exception as error:  # whatever a damaged file makes safetensors raise
        raise FileFormatError(f"{path} is damaged: {error}; use another copy") from error


def load_safetensors() -> Any:
    """Import safetensors.

    Returns:
        The package, with its ``numpy``.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        importlib.import_module("safetensors.numpy")
        return importlib.import_module("safetensors")
    except ImportError:
        raise ArgumentError(
            "safetensors files need the package safetensors, which is not installed: "
            f"{sys.executable} -m pip install safetensors"
        ) from None


def _name_arrays(graph: Graph) -> dict[str, str]:
    """Name a graph's arrays by their path; no two have one name."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        roles = _NAMES.get(node.operation, {})
        # the first that a layer needs says where it is: what is left out in a link, as gamma can be, is
        # in no link
        first = next((node.arrays[role].path for role in roles if role in node.arrays), "")
        prefix = first.rpartition("/")[0].replace("/", ".")
        for role, array in node.arrays.items():
            name = f"{prefix}.{roles.get(role, role)}".lstrip(".")
            if array.path not in names:
                names[array.path] = _OWN + array.path if name in taken else name
                taken.add(name)
    return names


def _find_paths(named: dict[str, numpy.ndarray], graph: Graph) -> dict[str, numpy.ndarray]:
    paths = {name: path for path, name in _name_arrays(graph).items()}
    unknown = [name for name in named if name not in paths and not name.startswith(_OWN)]
    if unknown:
        raise ValueError(f"its graph has no {unknown[0]}")
    arrays = {paths.get(name, name.removeprefix(_OWN)): array for name, array in named.items()}
    if len(arrays) < len(named):
        raise ValueError("it has an array twice")
    return arrays


def _digest(metadata: dict[str, str], arrays: dict[str, numpy.ndarray]) -> str:
    described = {name: [array.dtype.name, array.shape] for name, array in arrays.items()}
    digest = hashlib.sha256(json.dumps([metadata, described], sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
