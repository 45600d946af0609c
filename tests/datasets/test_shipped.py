import shutil
from importlib import resources
from pathlib import Path

import numpy
import pytest

from vdprune.datasets import Dataset, load_dataset, shipped
from vdprune.errors import ArgumentError, DatasetError

FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load_dataset("mnist")


def test_shapes_and_types(mnist: Dataset) -> None:
    assert mnist.train.x.shape == (60000, 1, 28, 28)
    assert mnist.train.t.shape == (60000,)
    assert mnist.test.x.shape == (10000, 1, 28, 28)
    assert mnist.test.t.shape == (10000,)
    assert mnist.train.x.dtype == mnist.test.x.dtype == numpy.uint8
    assert mnist.train.t.dtype == mnist.test.t.dtype == numpy.int32


def test_properties(mnist: Dataset) -> None:
    assert mnist.name == "mnist"
    assert mnist.input_shape == (1, 28, 28)
    assert mnist.classes == 10
    assert mnist.input_scale == 1 / 256
    assert mnist.validation is None
    description = "the 10,000 test examples of mnist (t10k-images-idx3-ubyte.gz)"
    assert mnist.test.description == description


def test_label_counts_are_the_known_ones(mnist: Dataset) -> None:
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert numpy.bincount(mnist.train.t).tolist() == train
    assert numpy.bincount(mnist.test.t).tolist() == test


def test_images_have_the_known_mean_and_are_upright(mnist: Dataset) -> None:
    assert mnist.train.x.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    one = mnist.train.x[mnist.train.t == 1].mean(axis=0)[0]
    assert one.sum(axis=0).max() > 2 * one.sum(axis=1).max()


def test_data_root_has_no_meaning_for_mnist(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="data_root"):
        load_dataset("mnist", tmp_path)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped files that the loader takes for the package's."""
    folder = tmp_path / "mnist"
    with resources.as_file(resources.files("vdprune.datasets") / "mnist") as original:
        shutil.copytree(original, folder)
    monkeypatch.setattr(shipped.resources, "files", lambda package: tmp_path)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused(copied: Path, name: str) -> None:
    data = bytearray((copied / name).read_bytes())
    data[4] ^= 1  # the time stamp in gzip's header: the images are what they were
    (copied / name).write_bytes(data)
    with pytest.raises(DatasetError, match=f"{name} is not the file that was shipped"):
        shipped.load_mnist()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(DatasetError, match=f"{name} is missing: install vdprune again"):
        shipped.load_mnist()
