"""Checkpoints that are whole, but hold what does not fit."""

import json
import tracemalloc
from pathlib import Path

import h5py
import numpy
import pytest
from chainer.serializers import HDF5Serializer

from tests.spoiling import Spoil, claim, make_group, remove, replace_array, set_attribute
from tests.test_checkpoint import make_checkpoint
from vdprune.checkpoint import load_checkpoint, save_checkpoint
from vdprune.errors import FileFormatError
from vdprune.hdf5 import CHECKPOINT, CHECKPOINT_VERSION


def set_kwargs(**changes: object) -> Spoil:
    """Change arch_kwargs; a value of None removes one."""

    def spoil(file: h5py.File) -> None:
        kwargs = {**json.loads(file.attrs["arch_kwargs"]), **changes}
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        file.attrs["arch_kwargs"] = json.dumps(kwargs)

    return spoil


def set_input_shape(*shape: int) -> Spoil:
    def spoil(file: h5py.File) -> None:
        set_kwargs(input_shape=shape)(file)
        file.attrs["input_shape"] = shape

    return spoil


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "good.h5"
    numpy.random.seed(0)
    save_checkpoint(path, make_checkpoint())
    return path


def refusal_of(path: Path) -> str:
    """Load a file that must be refused, at little cost, and return the message."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=path.name) as info:
            load_checkpoint(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated"
    return str(info.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(
            replace_array("model/l1/W", numpy.zeros((300, 10), "f4")),
            "l1/W has shape (300, 10) in the file, lenet300 with",
            id="weights of another shape",
        ),
        pytest.param(
            replace_array("model/l2/b", numpy.zeros(101, "f4")), "l2/b has shape (101,)", id="bias"
        ),
        pytest.param(
            replace_array("model/l2/log_sigma2", numpy.zeros((300, 100), "f4")),
            "l2/log_sigma2 has shape (300, 100)",
            id="transposed",
        ),
        pytest.param(remove("model/l3/W"), "is damaged: it has no l3/W", id="no weights"),
        pytest.param(remove("model/l3/log_sigma2"), "it has no l3/log_sigma2", id="plain"),
        pytest.param(remove("model/l1"), "it has no l1/", id="no layer"),
        pytest.param(remove("model"), "which is the shape of no array", id="no model"),
        pytest.param(remove("history"), "history", id="no history"),
        pytest.param(make_group("model/l1/W"), "l1/W", id="group for array"),
        pytest.param(replace_array("model/l1", numpy.zeros(3, "f4")), "l1", id="array for group"),
        pytest.param(replace_array("history", numpy.zeros(3)), "damaged", id="history an array"),
        pytest.param(
            replace_array("model", numpy.zeros(3)),
            "which is the shape of no array",
            id="model an array",
        ),
        pytest.param(
            replace_array("model/l3/b", numpy.array([b"a", b"b", b"c"])), "damaged", id="text"
        ),
        pytest.param(remove("model/scaling/mean"), "good", id="no mean"),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((1, 9), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="flat mean",
        ),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((3, 3), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="2d mean",
        ),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((1, 1, 1), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="mean of one number",
        ),
        pytest.param(
            replace_array("model/scaling/mean", h5py.Empty("f4")), "good", id="empty mean"
        ),
        pytest.param(
            replace_array("model/scaling/scale", numpy.zeros(3)), "good", id="three scales"
        ),
        pytest.param(remove("model/iteration"), "iteration", id="no iteration"),
        pytest.param(
            replace_array("history/loss", numpy.zeros(3)), "differ in length", id="long column"
        ),
        pytest.param(
            replace_array("history/loss", numpy.zeros(())), "damaged", id="column of no axis"
        ),
        pytest.param(claim("model/l1/W", (10**6, 10**6)), "claims shape", id="huge weights"),
        pytest.param(claim("model/l1/W", (300, 9)), "claims shape", id="weights without data"),
        pytest.param(claim("history/loss", (10**12,)), "claims shape", id="huge history"),
        pytest.param(claim("training/keys", (10**12,)), "claims shape", id="huge state"),
        pytest.param(claim("model/scaling/mean", (10**12,)), "claims shape", id="huge mean"),
        pytest.param(
            set_attribute("arch", "lenet6"), "no arch 'lenet6': choose from lenet300", id="arch"
        ),
        pytest.param(set_attribute("arch", [1, 2]), "can't be made into a network", id="arch list"),
        pytest.param(set_attribute("arch_kwargs", "{"), "damaged", id="no JSON"),
        pytest.param(set_attribute("arch_kwargs", "[1, 2]"), "damaged", id="kwargs a list"),
        pytest.param(set_attribute("arch_kwargs", 3), "damaged", id="kwargs a number"),
        pytest.param(set_kwargs(classes=None), "it tells of None classes", id="no classes"),
        pytest.param(set_kwargs(classes=4), "it tells of 4 classes", id="a class too many"),
        pytest.param(set_kwargs(classes=-1), "good", id="less than no classes"),
        pytest.param(set_kwargs(classes="three"), "good", id="classes a word"),
        pytest.param(set_kwargs(classes=2**20), "good", id="400 MB of classes"),
        pytest.param(set_kwargs(classes=10**15), "good", id="more classes than memory"),
        pytest.param(set_kwargs(depth=3), "can't be made into a network", id="unknown argument"),
        pytest.param(set_kwargs(arch="lenet5"), "can't be made into a network", id="arch twice"),
        pytest.param(set_kwargs(theta_std=-1), "good", id="negative deviation"),
        pytest.param(set_kwargs(input_shape=None), "input_shape", id="no shape"),
        pytest.param(
            set_kwargs(input_shape=[1, 3, 4]),
            "its input_shape is [1, 3, 4] in one place only",
            id="two shapes",
        ),
        pytest.param(set_input_shape(1, 3, 4), "3, 4", id="another shape"),
        pytest.param(set_input_shape(3, 1, 3), "[3, 1, 3]", id="another shape of one size"),
        pytest.param(set_input_shape(9), "[9]", id="flat shape"),
        pytest.param(set_input_shape(1, -3, -3), "good", id="negative shape"),
        pytest.param(set_input_shape(1, 500, 500), "good", id="large shape"),
        pytest.param(set_input_shape(1, 10**6, 10**6), "good", id="huge shape"),
        pytest.param(set_attribute("threshold", numpy.nan), "threshold", id="threshold NaN"),
        pytest.param(set_attribute("threshold", "three"), "damaged", id="threshold a word"),
        pytest.param(set_attribute("recipe", "{"), "damaged", id="recipe no JSON"),
        *(
            pytest.param(set_attribute(name, None), name, id=f"no {name}")
            for name in (
                "arch",
                "arch_kwargs",
                "recipe",
                "dataset",
                "input_shape",
                "threshold",
                "kind",
            )
        ),
        pytest.param(
            set_attribute("format", "vdprune-weights"),
            "is not a vdprune-checkpoint file: it is a vdprune-weights file",
            id="weights",
        ),
        pytest.param(
            set_attribute("format_version", CHECKPOINT_VERSION + 1), "install", id="newer version"
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    good: Path, tmp_path: Path, spoil: Spoil, words: str
) -> None:
    path = tmp_path / "good.h5"
    path.write_bytes(good.read_bytes())
    with h5py.File(path, "r+") as file:
        spoil(file)
    assert words in refusal_of(path)


def test_a_plain_chainer_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        HDF5Serializer(file).save(make_checkpoint().model)
    assert f"is not a {CHECKPOINT} file: it says nothing of vdprune" in refusal_of(
        tmp_path / "plain.h5"
    )
