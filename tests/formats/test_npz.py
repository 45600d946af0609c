import io
import json
import math
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.sparse

from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune.checkpoint import Checkpoint
from vdprune.errors import FileFormatError
from vdprune.export import export_weights
from vdprune.formats import load_weights
from vdprune.formats.weights import FORMAT_VERSION
from vdprune.pruning import prune
from vdprune.version import __version__

archs = pytest.mark.parametrize("arch", INPUT_SHAPES)
Members = dict[str, bytes]
Spoil = Callable[[Members], None]


def export(path: Path, arch: str = "lenet300", encoding: str = "csr") -> Checkpoint:
    pruned = prune(make_checkpoint(arch), 3.0)
    export_weights(pruned, path, encoding)
    return pruned


@archs
def test_scipy_builds_the_matrices(tmp_path: Path, arch: str) -> None:
    pruned = export(tmp_path / "w.npz", arch)
    with numpy.load(tmp_path / "w.npz") as file:
        for name, link in pruned.model.named_variational_links():
            members = (file[f"{name}/W/{member}"] for member in ("data", "indices", "indptr"))
            matrix = scipy.sparse.csr_matrix(tuple(members), shape=file[f"{name}/W/shape"])
            W = link.W.array
            numpy.testing.assert_array_equal(matrix.toarray(), W.reshape(len(W), -1))
            assert (matrix.data != 0).all()
            numpy.testing.assert_array_equal(file[f"{name}/b"], link.b.array)
        numpy.testing.assert_array_equal(file["scaling/mean"], pruned.model.scaling.mean)
        assert file["scaling/scale"] == 1 / 256


@archs
def test_dense_weights_are_plain_arrays(tmp_path: Path, arch: str) -> None:
    pruned = export(tmp_path / "w.npz", arch, "dense")
    with numpy.load(tmp_path / "w.npz") as file:
        for name, link in pruned.model.named_variational_links():
            numpy.testing.assert_array_equal(file[f"{name}/W"], link.W.array)


def test_the_header_is_json(tmp_path: Path) -> None:
    pruned = export(tmp_path / "w.npz")
    with numpy.load(tmp_path / "w.npz") as file:
        header = json.loads(str(file["header"]))
    assert header.pop("graph")["input_shape"] == [1, 3, 3]
    assert header == {
        "format": "vdprune-weights",
        "format_version": FORMAT_VERSION,
        "vdprune_version": __version__,
        "arch": "lenet300",
        "arch_kwargs": pruned.arch_kwargs,
        "dataset": "/data/tiny.npz",
        "input_shape": [1, 3, 3],
        "threshold": 3.0,
        "layers": ["l1", "l2", "l3"],
        "encoding": "csr",
    }


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    numpy.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def read_npy(data: bytes) -> numpy.ndarray:
    return numpy.load(io.BytesIO(data))


def set_array(name: str, array: object) -> Spoil:
    def spoil(members: Members) -> None:
        members[f"{name}.npy"] = npy(array)

    return spoil


def put(name: str, index: int, value: int) -> Spoil:
    def spoil(members: Members) -> None:
        array = read_npy(members[f"{name}.npy"])
        array[index] = value
        members[f"{name}.npy"] = npy(array)

    return spoil


def shorten(name: str) -> Spoil:
    def spoil(members: Members) -> None:
        members[f"{name}.npy"] = npy(read_npy(members[f"{name}.npy"])[:-1])

    return spoil


def set_bytes(name: str, data: bytes) -> Spoil:
    def spoil(members: Members) -> None:
        members[f"{name}.npy"] = data

    return spoil


def remove(name: str) -> Spoil:
    def spoil(members: Members) -> None:
        del members[f"{name}.npy"]

    return spoil


def set_header(**changes: Any) -> Spoil:
    """Change fields of the header; a value of None removes one."""

    def spoil(members: Members) -> None:
        header = {**json.loads(str(read_npy(members["header.npy"]))), **changes}
        header = {name: value for name, value in header.items() if value is not None}
        members["header.npy"] = npy(json.dumps(header))

    return spoil


def rewrite(path: Path, spoil: Spoil) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    spoil(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)


def refuse(path: Path) -> None:
    """Load a file that must be refused, at little cost."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=path.name):
            load_weights(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(put("l1/W/indices", 5, 9), id="column out of range"),
        pytest.param(put("l1/W/indices", 5, 255), id="column far out of range"),
        pytest.param(put("l1/W/indptr", 3, 60_000), id="rows not in order"),
        pytest.param(put("l1/W/indptr", 0, 1), id="first row not at 0"),
        pytest.param(shorten("l1/W/data"), id="data cut short"),
        pytest.param(shorten("l1/W/indices"), id="indices cut short"),
        pytest.param(shorten("l1/W/indptr"), id="a row missing"),
        pytest.param(remove("l1/W/indptr"), id="no indptr"),
        pytest.param(remove("l1/b"), id="no bias"),
        pytest.param(remove("header"), id="no header"),
        pytest.param(set_array("l1/b", numpy.zeros(299, "f4")), id="short bias"),
        pytest.param(set_array("l1/b", numpy.full(300, "x")), id="bias text"),
        pytest.param(set_array("l1/b", numpy.zeros(300, complex)), id="bias complex"),
        pytest.param(set_array("l1/b", numpy.full(300, None)), id="bias pickled"),
        pytest.param(set_array("scaling/scale", numpy.zeros(3)), id="three scales"),
        pytest.param(set_array("scaling/scale", "one"), id="scale text"),
        pytest.param(set_bytes("l1/b", b""), id="empty member"),
        pytest.param(set_bytes("l1/b", b"not an array at all"), id="no array"),
        pytest.param(set_bytes("l1/b", npy_header((300,))), id="no data"),
        pytest.param(set_bytes("l1/b", npy_header((10**12,)) + bytes(1200)), id="huge"),
        pytest.param(set_bytes("l1/b", npy_header((10**12, 0))), id="huge but empty"),
        pytest.param(set_bytes("l1/b", npy_header((10**12,), "<U0")), id="empty items"),
        pytest.param(set_bytes("l1/b", npy_header((-300,)) + bytes(1200)), id="negative"),
        pytest.param(set_array("header", 5), id="header a number"),
        pytest.param(set_array("header", "{"), id="header no JSON"),
        pytest.param(set_array("header", "[1, 2]"), id="header a list"),
        pytest.param(set_array("header", '"text"'), id="header a string"),
        pytest.param(set_header(format="other"), id="another format"),
        pytest.param(set_header(format=["other"]), id="format a list"),
        pytest.param(set_header(format_version=FORMAT_VERSION + 1), id="newer version"),
        pytest.param(set_header(format_version=math.inf), id="endless version"),
        pytest.param(set_header(arch=["lenet300"]), id="arch a list"),
        pytest.param(set_header(encoding="coo"), id="unknown encoding"),
        pytest.param(set_header(encoding=["csr"]), id="encoding a list"),
        pytest.param(set_header(encoding="dense"), id="the other encoding"),
        pytest.param(set_header(arch_kwargs=[1]), id="kwargs a list"),
        pytest.param(set_header(arch_kwargs="text"), id="kwargs a string"),
        pytest.param(set_header(input_shape=3), id="input_shape a number"),
        *(
            pytest.param(set_header(**{name: None}), id=f"no {name}")
            for name in ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "encoding")
        ),
        pytest.param(set_header(layers=["l9"]), id="a layer that is not there"),
        pytest.param(set_header(layers=None), id="no layers"),
        pytest.param(set_header(graph=None), id="no graph"),
        pytest.param(set_header(graph={"input_shape": [1, 3, 3], "nodes": []}), id="empty graph"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, spoil: Spoil) -> None:
    path = tmp_path / "weights.npz"
    export(path)
    rewrite(path, spoil)
    refuse(path)


def find_in_directory(data: bytes, name: str) -> int:
    """Position of a member's entry in the central directory of a zip file."""
    position = data.rindex(name.encode()) - 46
    assert data[position : position + 4] == b"PK\1\2"
    return position


@pytest.mark.parametrize("compressed", [None, 2**31])
def test_a_member_whose_directory_entry_claims_a_huge_size_is_refused(
    tmp_path: Path, compressed: int | None
) -> None:
    path = tmp_path / "weights.npz"
    export(path)
    header = npy_header((10**9,), "|i1")
    rewrite(path, set_bytes("l1/b", header + bytes(1200)))
    data = bytearray(path.read_bytes())
    entry = find_in_directory(data, "l1/b.npy")
    struct.pack_into("<I", data, entry + 24, len(header) + 10**9)
    if compressed is not None:
        struct.pack_into("<I", data, entry + 20, compressed)
    path.write_bytes(data)
    refuse(path)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(8, 1, id="encrypted"),
        pytest.param(10, 9, id="unknown method"),
        pytest.param(10, 12, id="another method"),
        pytest.param(10, 14, id="yet another method"),
        pytest.param(10, 0, id="no method"),
        pytest.param(16, 12345, id="checksum"),
    ],
)
@pytest.mark.parametrize("name", ["header.npy", "l2/W/data.npy"])
def test_a_damaged_directory_is_refused(tmp_path: Path, name: str, offset: int, value: int) -> None:
    path = tmp_path / "weights.npz"
    export(path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, find_in_directory(data, name) + offset, value)
    path.write_bytes(data)
    refuse(path)


@pytest.mark.parametrize("position", range(10, 200, 10))
def test_damaged_members_are_refused(tmp_path: Path, position: int) -> None:
    path = tmp_path / "weights.npz"
    export(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"l2/W/data.npy")
    data[start + 40 + position] ^= 0xFF
    path.write_bytes(data)
    refuse(path)


def test_another_npz_is_refused(tiny_npz: Path) -> None:
    with pytest.raises(FileFormatError, match="is not a vdprune-weights file: it has no header"):
        load_weights(tiny_npz)
