import threading
from typing import Any

import chainer
import numpy
import pytest

from vdprune.archs import build_arch
from vdprune.blas import find_blas_libraries
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError
from vdprune.threads import limited_threads
from vdprune.training.teacher_logits import compute_logits, evaluate_logits, teacher_sha256

X = numpy.random.RandomState(0).randint(0, 256, (2345, 1, 8, 8)).astype("u1")


def make_teacher() -> VariationalDropoutChain:
    """A network for (1, 8, 8) in 3 classes, always the same, with some weights cut."""
    state = numpy.random.get_state()
    numpy.random.seed(11)
    model = build_arch("lenet300", input_shape=(1, 8, 8), classes=3, theta_std=0.1)
    model.scaling.fit(X, 1 / 256)
    model.to_variational_dropout()
    for _, link in model.named_variational_links():
        link.log_sigma2.array[...] = numpy.random.uniform(-8, 2, link.W.shape)
        link.b.array[...] = numpy.random.standard_normal(link.b.shape)
    numpy.random.set_state(state)
    return model


@pytest.fixture
def teacher() -> VariationalDropoutChain:
    return make_teacher()


def test_it_is_the_network_in_evaluation(teacher: VariationalDropoutChain) -> None:
    counts: list[int] = []
    state = numpy.random.get_state()[2]
    found = compute_logits(teacher, X, counts.append)
    with chainer.using_config("train", False):
        expected = teacher(X).array
    assert numpy.random.get_state()[2] == state
    assert isinstance(found, numpy.ndarray)
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert sum(counts) == len(X)
    assert len(counts) > 1


@pytest.mark.usefixtures("two_threads")
def test_threads_share_batches_and_blas_has_one(
    teacher: VariationalDropoutChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, seen = type(teacher).forward, set()

    def watch(self: VariationalDropoutChain, x: numpy.ndarray) -> chainer.Variable:
        both.wait(10)
        blas = {library.get_num_threads() for library in find_blas_libraries()}
        seen.add((threading.get_ident(), *blas, chainer.config.train))
        return forward(self, x)

    monkeypatch.setattr(type(teacher), "forward", watch)
    found = []
    for count in (1, 2):
        seen.clear()
        both = threading.Barrier(count)
        with limited_threads(count):
            found.append(compute_logits(teacher, X[:400]))
        assert len(seen) == count
        assert {(blas, train) for _, blas, train in seen} == {(1, False)}
    numpy.testing.assert_array_equal(*found)


def test_there_is_no_graph(
    teacher: VariationalDropoutChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = type(teacher).forward

    def watch(self: VariationalDropoutChain, x: numpy.ndarray) -> chainer.Variable:
        seen.append((chainer.config.train, chainer.config.enable_backprop))
        return forward(self, x)

    monkeypatch.setattr(type(teacher), "forward", watch)
    assert isinstance(evaluate_logits(teacher, X[:3]), numpy.ndarray)
    assert seen == [(False, False)]
    assert chainer.config.train


def test_a_teacher_for_other_examples(teacher: VariationalDropoutChain) -> None:
    with pytest.raises(ArgumentError, match="the model was made for"):
        compute_logits(teacher, X[:, :, :5])


def test_a_teacher_that_gives_no_logits(teacher: VariationalDropoutChain) -> None:
    type_of = type("Wrong", (type(teacher),), {"forward": lambda self, x: x})
    teacher.__class__ = type_of
    with pytest.raises(ArgumentError, match=r"for 3 examples has shape \(3, 1, 8, 8\)"):
        evaluate_logits(teacher, X[:3])


def test_logits_that_are_not_finite(teacher: VariationalDropoutChain) -> None:
    next(iter(teacher.params())).array[...] = numpy.inf
    with numpy.errstate(invalid="ignore"), pytest.raises(ArgumentError, match="not all finite"):
        compute_logits(teacher, X[:3])


def test_teachers_are_told_apart(teacher: VariationalDropoutChain) -> None:
    sha256 = teacher_sha256(teacher)
    same = make_teacher()
    assert teacher_sha256(same) == sha256
    _, link = same.named_variational_links()[0]
    link.loga_threshold -= 4
    assert teacher_sha256(same) != sha256
    link.loga_threshold += 4
    assert teacher_sha256(same) == sha256
    link.b.array[0] += 1
    assert teacher_sha256(same) != sha256


def test_the_input_scale_is_part_of_a_teacher(teacher: VariationalDropoutChain) -> None:
    sha256 = teacher_sha256(teacher)
    teacher.scaling.scale = 0.5
    assert teacher_sha256(teacher) != sha256


@pytest.mark.gpu
def test_a_teacher_on_a_gpu(gpu: Any, teacher: VariationalDropoutChain) -> None:
    expected, sha256 = compute_logits(teacher, X[:50]), teacher_sha256(teacher)
    teacher.to_device(gpu)
    found = compute_logits(teacher, X[:50])
    assert isinstance(found, numpy.ndarray)
    assert isinstance(evaluate_logits(teacher, X[:3]), gpu.xp.ndarray)
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert teacher_sha256(teacher) == sha256
