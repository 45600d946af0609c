import copy
import inspect
from pathlib import Path
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest
from chainer import initializers, serializers

from vdprune import VariationalDropoutLinear
from vdprune.errors import ArgumentError
from vdprune.links.variational_dropout import ForwardPass


def make_sparse(link: Any) -> Any:
    """Give a link weights of which some are cut."""
    link.W.array[...] = numpy.random.uniform(0.3, 1, link.W.shape)
    link.log_sigma2.array[...] = 2 * numpy.log(link.W.array) + numpy.random.uniform(
        -5, 6, link.W.shape
    )
    return link


def test_signature_is_chainers_and_more() -> None:
    ours = list(inspect.signature(VariationalDropoutLinear).parameters.values())
    theirs = list(inspect.signature(L.Linear).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [
        (p.name, p.default) for p in theirs
    ]
    assert [p.name for p in ours[len(theirs) :]] == [
        "p_threshold",
        "loga_threshold",
        "initial_log_sigma2",
        "mask_variance",
        "prior",
    ]


def test_defaults() -> None:
    link = VariationalDropoutLinear(3, 2)
    assert (link.p_threshold, link.loga_threshold, link.mask_variance) == (0.95, 3.0, False)
    assert (link.log_sigma2.array == -10).all()
    assert link.log_sigma2.shape == link.W.shape == (2, 3)


@pytest.mark.parametrize("nobias", [False, True])
@pytest.mark.parametrize("in_size", [None, 12])
@pytest.mark.parametrize(("shape", "n_batch_axes"), [((5, 3, 4), 1), ((5, 2, 12), 2)])
def test_evaluation_is_a_linear_link_with_masked_weights(
    nobias: bool, in_size: int | None, shape: tuple[int, ...], n_batch_axes: int
) -> None:
    link = VariationalDropoutLinear(in_size, 7, nobias, 0.5, None if nobias else 0.25)
    x = numpy.random.randn(*shape).astype("f")
    link(x, n_batch_axes=n_batch_axes)
    make_sparse(link)
    plain = L.Linear(12, 7, nobias, initialW=link.W.array * link.kept(), initial_bias=0.25)
    assert 0 < link.kept().sum() < link.W.size
    with chainer.using_config("train", False):
        y = link(x, n_batch_axes=n_batch_axes)
    expected = plain(x, n_batch_axes=n_batch_axes)
    numpy.testing.assert_array_equal(y.array, expected.array)
    assert y.shape == (*shape[:n_batch_axes], 7)


def test_training_is_noisy_and_evaluation_is_not() -> None:
    link = make_sparse(VariationalDropoutLinear(6, 4))
    x = numpy.random.randn(3, 6).astype("f")
    assert (link(x).array != link(x).array).all()
    with chainer.using_config("train", False):
        assert (link(x).array == link(x).array).all()


def test_only_out_size_given_positionally() -> None:
    link = VariationalDropoutLinear(7)
    assert link.W.array is None
    assert link(numpy.zeros((2, 5), "f")).shape == (2, 7)
    assert link.log_sigma2.shape == (7, 5)


def test_initializers() -> None:
    link = VariationalDropoutLinear(
        3, 2, initialW=initializers.Constant(0.5), initial_bias=numpy.array([1, 2], "f")
    )
    assert (link.W.array == 0.5).all()
    assert link.b.array.tolist() == [1, 2]


@pytest.mark.parametrize("in_size", [None, 5])
def test_float64(in_size: int | None) -> None:
    with chainer.using_config("dtype", numpy.float64):
        link = VariationalDropoutLinear(in_size, 3)
        y = link(numpy.random.randn(2, 5))
    assert y.dtype == link.W.dtype == link.log_sigma2.dtype == numpy.float64


@pytest.mark.parametrize("mask_variance", [False, True])
def test_gradients_reach_every_parameter(mask_variance: bool) -> None:
    link = make_sparse(VariationalDropoutLinear(6, 4, mask_variance=mask_variance))
    link.cleargrads()
    y = link(numpy.random.randn(50, 6).astype("f"))
    y.grad = numpy.random.randn(*y.shape).astype("f")
    y.backward()
    cut = ~link.kept()
    assert link.b.grad.all()
    assert link.W.grad[~cut].all()
    assert link.log_sigma2.grad[~cut].all()
    assert bool(link.W.grad[cut].any()) is not mask_variance


def test_threshold_decides_what_is_kept() -> None:
    link = VariationalDropoutLinear(2, 1, loga_threshold=1.0)
    link.W.array[...] = 1
    link.log_sigma2.array[...] = [[0.9, 1.1]]
    assert link.kept().tolist() == [[True, False]]
    assert link.masked_W().array.tolist() == [[1, 0]]


def test_log_alpha_before_the_first_batch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="has no weights yet"):
        VariationalDropoutLinear(None, 3).kl_divergence()


def test_log_sigma2_of_another_shape_is_refused() -> None:
    link = VariationalDropoutLinear(785, 300)
    link.log_sigma2.array = numpy.zeros((300, 784), "f")
    with pytest.raises(ArgumentError, match=r"log_sigma2 has shape \(300, 784\), W has"):
        link(numpy.zeros((1, 785), "f"))


def test_divergence_of_the_forward_pass_is_kept() -> None:
    link = make_sparse(VariationalDropoutLinear(6, 4))
    before = link.kl_divergence().array
    with ForwardPass([link]):
        y = link(numpy.ones((2, 6), "f"))
        divergence = link.kl_divergence()
        assert divergence.creator is y.creator
        numpy.testing.assert_allclose(divergence.array, before, rtol=1e-6)
    assert link.kl_divergence() is not divergence


def test_divergence_without_a_forward_pass_is_computed() -> None:
    link = make_sparse(VariationalDropoutLinear(6, 4))
    with ForwardPass([link]):
        assert float(link.kl_divergence().array) > 0


@pytest.mark.parametrize("in_size", [None, 5])
def test_saved_by_chainer_and_loaded_into_an_open_link(in_size: int | None, tmp_path: Path) -> None:
    link = make_sparse(VariationalDropoutLinear(5, 3))
    serializers.save_npz(tmp_path / "link.npz", link)
    other = VariationalDropoutLinear(in_size, 3)
    serializers.load_npz(tmp_path / "link.npz", other)
    for mine, theirs in zip(link.params(), other.params(), strict=True):
        numpy.testing.assert_array_equal(mine.array, theirs.array)


def test_copies_are_independent() -> None:
    link = VariationalDropoutLinear(5, 3)
    other = copy.deepcopy(link)
    other.log_sigma2.array[...] = 0
    assert (link.log_sigma2.array == -10).all()
