"""Safetensors files that are whole, but hold what does not fit."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest

import vdprune
from tests.formats.test_safetensors import read_parts
from vdprune.errors import FileFormatError
from vdprune.export.collecting import collect_chain
from vdprune.formats.safetensors_file import _digest, read_safetensors, write_safetensors

numpy_files = pytest.importorskip("safetensors.numpy", reason="writes safetensors files")

Spoil = Callable[[dict[str, str], dict[str, numpy.ndarray]], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a small network."""
    path = tmp_path_factory.mktemp("safetensors") / "good.safetensors"
    numpy.random.seed(0)
    model = chainer.Sequential(L.Linear(4, 3), L.BatchNormalization(3), L.Linear(3, 2))
    vdprune.to_variational_dropout(model)
    write_safetensors(path, collect_chain(model, (4,)))
    return path


def refuse(path: Path, message: str = "") -> None:
    """Read a file that must be refused, at little cost."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=f"{path.name}.*{message}"):
            read_safetensors(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6, f"{peak / 1e6:.0f} MB were allocated"


def set_array(name: str, array: Any) -> Spoil:
    return lambda metadata, arrays: arrays.update({name: numpy.asarray(array)})


def set_text(**changes: str | None) -> Spoil:
    """Change parts of the metadata; None removes one."""

    def spoil(metadata: dict[str, str], arrays: dict[str, numpy.ndarray]) -> None:
        for name, text in changes.items():
            metadata.pop(name)
            if text is not None:
                metadata[name] = text

    return spoil


def set_node(number: int, **changes: Any) -> Spoil:
    def spoil(metadata: dict[str, str], arrays: dict[str, numpy.ndarray]) -> None:
        graph = json.loads(metadata["graph"])
        graph["nodes"][number].update(changes)
        metadata["graph"] = json.dumps(graph)

    return spoil


HUGE = {"W": ["0/W", [10**9, 4]]}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda m, a: a.pop("0.weight"), "0/W", id="no weight"),
        pytest.param(lambda m, a: a.pop("0.bias"), "0/b", id="no bias"),
        pytest.param(set_array("9.weight", [1.0]), "has no 9.weight", id="an array too many"),
        pytest.param(set_array("/0/W", [1.0]), "an array twice", id="an array twice"),
        pytest.param(set_array("0.weight", numpy.zeros((4, 3), "f")), "shape", id="turned"),
        pytest.param(set_array("0.weight", numpy.zeros(12, "f")), "shape", id="flat"),
        pytest.param(set_array("0.weight", numpy.zeros((3, 4), "u1")), "uint8", id="unsigned"),
        pytest.param(set_array("2.running_var", numpy.zeros(2, "f")), "avg_var", id="short var"),
        pytest.param(set_text(format="other"), "is not a vdprune-weights file", id="other format"),
        pytest.param(set_text(format=None), "says nothing of vdprune", id="no format"),
        pytest.param(set_text(format_version="2000"), "install", id="newer version"),
        pytest.param(set_text(format_version="[1]"), "format_version", id="version a list"),
        pytest.param(set_text(format_version=None), "format_version", id="no version"),
        *(
            pytest.param(set_text(**{name: None}), name, id=f"no {name}")
            for name in ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "layers")
        ),
        pytest.param(set_text(graph=None), "graph", id="no graph"),
        pytest.param(set_text(graph="{"), "damaged", id="graph no JSON"),
        pytest.param(set_text(graph="[" * 100_000), "damaged", id="graph nested deeply"),
        pytest.param(set_text(threshold='"three"'), "threshold", id="threshold a word"),
        pytest.param(set_text(arch_kwargs="[]"), "arch_kwargs", id="kwargs a list"),
        pytest.param(set_text(encoding="coo"), "encoding", id="unknown encoding"),
        pytest.param(set_text(encoding="csr"), "0/W/data", id="the other encoding"),
        pytest.param(set_text(layers='["9"]'), "no layer '9'", id="unknown layer"),
        pytest.param(set_text(input_shape="[5]"), "input_shape", id="two shapes"),
        pytest.param(set_node(0, arrays=HUGE), "", id="huge"),
        pytest.param(set_node(0, arrays={}), "has no 0.bias", id="a layer without arrays"),
        pytest.param(
            set_node(-1, operation="exp", arrays={}), "has no 1.bias", id="unknown operation"
        ),
        pytest.param(set_node(1, arrays={"mean": ["x/m", [3]]}), "", id="no var"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    good: Path, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    metadata, arrays = read_parts(good)
    del metadata["sha256"]
    spoil(metadata, arrays)
    metadata["sha256"] = _digest(metadata, arrays)
    numpy_files.save_file(arrays, tmp_path / "forged", metadata)
    refuse(tmp_path / "forged", message)


def test_a_file_without_a_checksum_is_refused(good: Path, tmp_path: Path) -> None:
    metadata, arrays = read_parts(good)
    del metadata["sha256"]
    numpy_files.save_file(arrays, tmp_path / "w", metadata)
    refuse(tmp_path / "w", "checksum does not match")


@pytest.mark.parametrize("end", [10**15, 2**62])
def test_sizes_that_are_not_there_are_refused(tmp_path: Path, end: int) -> None:
    array = {"dtype": "I8", "shape": [end], "data_offsets": [0, end]}
    header = json.dumps({"a": array}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    refuse(tmp_path / "w", "is damaged")


def test_another_file_is_refused(tmp_path: Path) -> None:
    numpy_files.save_file({"a": numpy.zeros(3)}, tmp_path / "w")
    refuse(tmp_path / "w", "is not a vdprune-weights file: it says nothing of vdprune")


def test_what_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"^there is no file '.*nowhere'$"):
        read_safetensors(tmp_path / "nowhere")
    refuse(tmp_path, "can't be read: Is a directory$")
