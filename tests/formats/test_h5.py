import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy
import pytest
import scipy.sparse

from tests.spoiling import Spoil, claim, make_group, remove, replace_array, set_attribute
from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune.checkpoint import Checkpoint
from vdprune.errors import FileFormatError
from vdprune.export import export_weights
from vdprune.formats import load_weights
from vdprune.formats.weights import FORMAT_VERSION
from vdprune.pruning import prune
from vdprune.version import __version__

archs = pytest.mark.parametrize("arch", INPUT_SHAPES)


def export(path: Path, arch: str, encoding: str = "csr") -> Checkpoint:
    pruned = prune(make_checkpoint(arch), 3.0)
    export_weights(pruned, path, encoding)
    return pruned


def matrix_of(link: Any) -> numpy.ndarray:
    return link.W.array.reshape(len(link.W.array), -1)


@archs
def test_anndata_reads_a_weight(tmp_path: Path, arch: str) -> None:
    pruned = export(tmp_path / "w.h5", arch)
    with h5py.File(tmp_path / "w.h5") as file:
        for name, link in pruned.model.named_variational_links():
            matrix = anndata.io.read_elem(file[f"{name}/W"])
            assert isinstance(matrix, scipy.sparse.csr_matrix)
            assert matrix.dtype == numpy.float32
            assert matrix.nnz == numpy.count_nonzero(link.W.array)
            numpy.testing.assert_array_equal(matrix.toarray(), matrix_of(link))


@archs
@pytest.mark.parametrize("encoding", ["csr", "dense"])
def test_anndata_reads_the_whole_file(tmp_path: Path, arch: str, encoding: str) -> None:
    pruned = export(tmp_path / "w.h5", arch, encoding)
    with h5py.File(tmp_path / "w.h5") as file:
        content = anndata.io.read_elem(file["/"])
    links = dict(pruned.model.named_variational_links())
    assert content.keys() == links.keys() | {"scaling", "graph"}
    assert json.loads(content["graph"])["input_shape"] == INPUT_SHAPES[arch]
    for name, link in links.items():
        assert content[name].keys() == {"W", "b"}
        W = content[name]["W"]
        if encoding == "csr":
            numpy.testing.assert_array_equal(W.toarray(), matrix_of(link))
        else:
            numpy.testing.assert_array_equal(W, link.W.array)
        numpy.testing.assert_array_equal(content[name]["b"], link.b.array)
    assert content["scaling"]["scale"] == 1 / 256
    numpy.testing.assert_array_equal(content["scaling"]["mean"], pruned.model.scaling.mean)


@archs
def test_three_lines_of_h5py_read_a_weight(tmp_path: Path, arch: str) -> None:
    pruned = export(tmp_path / "w.h5", arch)
    for name, link in pruned.model.named_variational_links():
        with h5py.File(tmp_path / "w.h5") as file:
            group = file[f"{name}/W"]
            members = (group["data"][:], group["indices"][:], group["indptr"][:])
            matrix = scipy.sparse.csr_matrix(members, shape=group.attrs["shape"])
        numpy.testing.assert_array_equal(matrix.toarray(), matrix_of(link))


@archs
def test_the_layout_of_a_weight(tmp_path: Path, arch: str) -> None:
    pruned = export(tmp_path / "w.h5", arch)
    with h5py.File(tmp_path / "w.h5") as file:
        for name, link in pruned.model.named_variational_links():
            group = file[f"{name}/W"]
            assert set(group) == {"data", "indices", "indptr"}
            assert group.attrs["encoding-type"] == "csr_matrix"
            assert group.attrs["encoding-version"] == "0.1.0"
            assert group.attrs["shape"].tolist() == list(matrix_of(link).shape)
            assert group.attrs["weight_shape"].tolist() == list(link.W.shape)
            assert (group["data"][:] != 0).all()


def test_a_convolution_keeps_its_shape_in_an_attribute(tmp_path: Path) -> None:
    pruned = export(tmp_path / "w.h5", "lenet5")
    with h5py.File(tmp_path / "w.h5") as file:
        group = file["conv2/W"]
        assert group.attrs["shape"].tolist() == [50, 500]
        assert group.attrs["weight_shape"].tolist() == [50, 20, 5, 5]
        matrix = anndata.io.read_elem(group)
        W = matrix.toarray().reshape(group.attrs["weight_shape"])
    numpy.testing.assert_array_equal(W, pruned.model.conv2.W.array)


def test_dense_weights_are_plain_arrays(tmp_path: Path) -> None:
    pruned = export(tmp_path / "w.h5", "lenet5", "dense")
    with h5py.File(tmp_path / "w.h5") as file:
        for name, link in pruned.model.named_variational_links():
            numpy.testing.assert_array_equal(file[f"{name}/W"][...], link.W.array)
            assert file[f"{name}/W"].attrs["encoding-type"] == "array"


def test_root_attributes_as_h5py_reads_them(tmp_path: Path) -> None:
    pruned = export(tmp_path / "w.h5", "lenet300")
    with h5py.File(tmp_path / "w.h5") as file:
        attributes = dict(file.attrs)
    assert json.loads(attributes.pop("arch_kwargs")) == pruned.arch_kwargs
    assert attributes.pop("input_shape").tolist() == [1, 3, 3]
    attributes["layers"] = attributes["layers"].tolist()
    assert attributes == {
        "format": "vdprune-weights",
        "format_version": FORMAT_VERSION,
        "vdprune_version": __version__,
        "arch": "lenet300",
        "dataset": "/data/tiny.npz",
        "threshold": 3.0,
        "layers": ["l1", "l2", "l3"],
        "encoding": "csr",
        "encoding-type": "dict",
        "encoding-version": "0.1.0",
    }


def put(name: str, index: int, value: int) -> Spoil:
    def spoil(file: h5py.File) -> None:
        file[name][index] = value

    return spoil


def shorten(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        array = file[name][:-1]
        del file[name]
        file[name] = array

    return spoil


def change_graph(change: Callable[[Any], None]) -> Spoil:
    def spoil(file: h5py.File) -> None:
        graph = json.loads(file["graph"][()])
        change(graph)
        del file["graph"]
        file["graph"] = numpy.bytes_(json.dumps(graph))

    return spoil


def set_shape(number: int, role: str, *shape: int) -> Spoil:
    def change(graph: Any) -> None:
        graph["nodes"][number]["arrays"][role][1] = list(shape)

    return change_graph(change)


def set_input_shape(*shape: int, everywhere: bool = True) -> Spoil:
    def change(graph: Any) -> None:
        graph["input_shape"] = list(shape)

    def spoil(file: h5py.File) -> None:
        change_graph(change)(file)
        if everywhere:
            file.attrs["input_shape"] = shape
            set_shape(0, "mean", *shape)(file)
            change_graph(lambda g: g["nodes"][1]["attributes"].update(shape=[math.prod(shape)]))(
                file
            )
            set_shape(2, "W", 300, math.prod(shape))(file)

    return spoil


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
        pytest.param(remove("l1/W"), id="no weights"),
        pytest.param(remove("l1/b"), id="no bias"),
        pytest.param(remove("scaling/mean"), id="no mean"),
        pytest.param(make_group("l1/W/data"), id="group for member"),
        pytest.param(make_group("l1/b"), id="group for bias"),
        pytest.param(replace_array("l1/W", numpy.zeros((300, 9), "f4")), id="array for group"),
        pytest.param(replace_array("l1/b", numpy.zeros(299, "f4")), id="short bias"),
        pytest.param(replace_array("l1/b", numpy.full(300, b"x")), id="bias text"),
        pytest.param(replace_array("l1/b", numpy.zeros(300, complex)), id="bias complex"),
        pytest.param(replace_array("l1/b", h5py.Empty("f4")), id="bias empty"),
        pytest.param(replace_array("scaling/scale", numpy.zeros(3)), id="three scales"),
        pytest.param(replace_array("scaling/scale", "one"), id="scale text"),
        pytest.param(replace_array("scaling/mean", numpy.zeros((1, 9), "f4")), id="flat mean"),
        pytest.param(claim("l1/b", (10**12,)), id="huge bias"),
        pytest.param(claim("l1/W/data", (10**12,)), id="huge data"),
        pytest.param(claim("l1/W/indptr", (10**12,)), id="huge indptr"),
        pytest.param(set_attribute("arch", [1, 2]), id="arch a list"),
        pytest.param(set_attribute("encoding", "coo"), id="unknown encoding"),
        pytest.param(set_attribute("encoding", [1, 2]), id="encoding a list"),
        pytest.param(set_attribute("encoding", "dense"), id="the other encoding"),
        pytest.param(set_attribute("arch_kwargs", "{"), id="no JSON"),
        pytest.param(set_attribute("arch_kwargs", "[1]"), id="kwargs a list"),
        pytest.param(set_attribute("input_shape", 3), id="input_shape a number"),
        *(
            pytest.param(set_attribute(name, None), id=f"no {name}")
            for name in ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "encoding")
        ),
        pytest.param(set_attribute("layers", None), id="no layers"),
        pytest.param(set_attribute("layers", ["l1", "l9"]), id="a layer that is not there"),
        pytest.param(set_attribute("layers", "l1"), id="layers a word"),
        pytest.param(remove("graph"), id="no graph"),
        pytest.param(replace_array("graph", numpy.bytes_("{")), id="graph no JSON"),
        pytest.param(replace_array("graph", numpy.zeros(3)), id="graph an array"),
        pytest.param(replace_array("graph", numpy.bytes_("[1]")), id="graph a list"),
        pytest.param(set_shape(6, "W", 4, 100), id="a class too many"),
        pytest.param(set_shape(6, "W", 2**28, 100), id="more classes than memory"),
        pytest.param(set_shape(2, "W", 300, 10), id="a pixel too many"),
        pytest.param(change_graph(lambda g: g["nodes"].pop(1)), id="images into a linear layer"),
        pytest.param(set_input_shape(1, 3, 4, everywhere=False), id="two shapes"),
        pytest.param(set_input_shape(1, 2, 4), id="another shape"),
        pytest.param(set_input_shape(9), id="flat shape"),
        pytest.param(set_input_shape(1, 500, 500), id="large shape"),
        pytest.param(set_input_shape(10**6, 10**6), id="huge shape"),
        pytest.param(set_attribute("format_version", FORMAT_VERSION + 1), id="newer version"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, spoil: Spoil) -> None:
    path = tmp_path / "weights.h5"
    export(path, "lenet300")
    with h5py.File(path, "r+") as file:
        spoil(file)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"weights\.h5"):
            load_weights(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated"
