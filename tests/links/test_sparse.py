import copy
import pickle
from pathlib import Path
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest
from chainer import serializers

from vdprune.errors import ArgumentError
from vdprune.links import SparseConvolution2D, SparseLinear


def sparse_array(*shape: int) -> numpy.ndarray:
    return (numpy.random.randn(*shape) * (numpy.random.rand(*shape) < 0.2)).astype("f")


@pytest.fixture(autouse=True)
def _inference() -> Any:
    with chainer.using_config("train", False):
        yield


@pytest.mark.parametrize("nobias", [False, True])
@pytest.mark.parametrize(("shape", "n_batch_axes"), [((5, 12), 1), ((5, 3, 4), 1), ((2, 3, 12), 2)])
def test_linear(nobias: bool, shape: tuple[int, ...], n_batch_axes: int) -> None:
    W, b = sparse_array(7, 12), None if nobias else numpy.random.randn(7).astype("f")
    x = numpy.random.randn(*shape).astype("f")
    link = SparseLinear(W, b)
    expected = L.Linear(12, 7, nobias, initialW=W, initial_bias=b)(x, n_batch_axes=n_batch_axes)
    y = link(x, n_batch_axes=n_batch_axes)
    assert link.data.size == (W != 0).sum()
    assert y.dtype == numpy.float32
    numpy.testing.assert_allclose(y.array, expected.array, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "pad", "dilate"), [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 2))]
)
def test_convolution(groups: int, stride: Any, pad: Any, dilate: Any) -> None:
    W, b = sparse_array(6, 4 // groups, 3, 2), numpy.random.randn(6).astype("f")
    x = numpy.random.randn(2, 4, 9, 8).astype("f")
    link = SparseConvolution2D(W, b, stride, pad, dilate, groups)
    plain = L.Convolution2D(
        4, 6, (3, 2), stride, pad, initialW=W, initial_bias=b, dilate=dilate, groups=groups
    )
    assert link.data.size == (W != 0).sum()
    numpy.testing.assert_allclose(link(x).array, plain(x).array, atol=1e-5)


def test_images_of_many_sizes_leave_no_more_behind_than_some() -> None:
    W = sparse_array(3, 2, 3, 3)
    link, plain = SparseConvolution2D(W, None), L.Convolution2D(2, 3, 3, nobias=True, initialW=W)
    for size in (*range(4, 16), 4):
        x = numpy.random.randn(1, 2, size, size).astype("f")
        numpy.testing.assert_allclose(link(x).array, plain(x).array, atol=1e-5)
    assert len(link._networks) < 10


def test_is_saved_by_chainer(tmp_path: Path) -> None:
    W = sparse_array(7, 12)
    link = SparseLinear(W, numpy.ones(7, "f"))
    serializers.save_npz(tmp_path / "link.npz", link)
    other = SparseLinear((W != 0).astype("f"), numpy.zeros(7, "f"))
    x = numpy.random.randn(3, 12).astype("f")
    before = other(x).array
    serializers.load_npz(tmp_path / "link.npz", other)
    numpy.testing.assert_allclose(other(x).array, link(x).array, rtol=1e-6)
    assert not numpy.allclose(before, link(x).array)


def test_can_be_copied_after_it_was_used() -> None:
    link = SparseLinear(sparse_array(7, 12), numpy.ones(7, "f"))
    x = numpy.random.randn(3, 12).astype("f")
    expected = link(x).array
    for copied in (copy.deepcopy(link), pickle.loads(pickle.dumps(link))):
        numpy.testing.assert_allclose(copied(x).array, expected, rtol=1e-6)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"SparseLinear: .*W has shape \(3, 3\)"):
        SparseLinear(numpy.eye(3, dtype="f"))(numpy.zeros((2, 4), "f"))


@pytest.mark.parametrize(
    "link", [SparseLinear(numpy.eye(3, dtype="f")), SparseConvolution2D(numpy.ones((1, 1, 1, 1)))]
)
def test_training_is_refused(link: Any) -> None:
    with (
        chainer.using_config("train", True),
        pytest.raises(ArgumentError, match="is for inference"),
    ):
        link(numpy.zeros((1, 3), "f"))
