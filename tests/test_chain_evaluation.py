import threading

import chainer
import chainer.functions as F
import numpy
import pytest

from tests.conftest import make_tiny_arrays
from vdprune.archs import build_arch
from vdprune.blas import find_blas_libraries
from vdprune.chain import VariationalDropoutChain
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.evaluation import Evaluation
from vdprune.threads import limited_threads


class Table(chainer.Chain):
    """A network that finds its logits in a table; an example is the number of its row."""

    def __init__(self, logits: numpy.ndarray) -> None:
        super().__init__()
        self.logits = logits
        self.batch_sizes: list[int] = []

    def forward(self, x: numpy.ndarray) -> chainer.Variable:
        self.batch_sizes.append(len(x))
        return chainer.Variable(self.logits[x[:, 0]])


def table_split(t: list[int]) -> Split:
    return Split("the rows", numpy.arange(len(t))[:, None], numpy.array(t, numpy.int32))


def test_error_and_loss_of_known_logits() -> None:
    logits = numpy.log(numpy.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], "f"))
    evaluation = evaluate(Table(logits), table_split([0, 1, 0]))
    assert evaluation.examples == 3
    assert evaluation.error == pytest.approx(100 / 3)
    expected = -(numpy.log(0.5) + numpy.log(0.8) + numpy.log(0.2)) / 3
    assert evaluation.loss == pytest.approx(expected, rel=1e-6)


def test_threads_share_batches_and_blas_has_one() -> None:
    found: list[Evaluation] = []
    seen: list[tuple[int, set[int], bool]] = []

    class Watched(Table):
        def forward(self, x: numpy.ndarray) -> chainer.Variable:
            both.wait(10)
            blas = {library.get_num_threads() for library in find_blas_libraries()}
            seen.append((threading.get_ident(), blas, chainer.config.train))
            return super().forward(x)

    logits = numpy.random.default_rng(3).normal(size=(10, 4)).astype("f")
    for count in (1, 2):
        seen.clear()
        both = threading.Barrier(count)
        with limited_threads(count):
            found.append(evaluate(Watched(logits), table_split([0, 1, 2, 3, 0] * 2), 5))
        assert all(blas == {1} and not train for _, blas, train in seen)
        assert len({thread for thread, _, _ in seen}) == count
    assert found[0] == found[1]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 1000])
def test_batches_of_any_size_weigh_each_example_alike(batch_size: int) -> None:
    random = numpy.random.default_rng(3)
    logits = random.normal(size=(10, 4)).astype("f")
    model = Table(logits)
    t = random.integers(0, 4, 10)
    evaluation = evaluate(model, table_split(t.tolist()), batch_size)
    whole = float(F.softmax_cross_entropy(logits, t.astype("i")).array)
    assert evaluation.loss == pytest.approx(whole, rel=1e-5)
    assert evaluation.error == pytest.approx(100 * (logits.argmax(1) != t).mean())
    assert sum(model.batch_sizes) == 10
    assert max(model.batch_sizes) == min(batch_size, 10)


def make_network() -> VariationalDropoutChain:
    model = build_arch("lenet300", input_shape=(1, 8, 8), classes=3, theta_std=0.1)
    model.to_variational_dropout(initial_log_sigma2=-2.0)
    return model


def make_split() -> Split:
    arrays = make_tiny_arrays()
    return Split("the images", arrays["x_test"], arrays["y_test"].astype(numpy.int32))


def test_there_is_no_noise() -> None:
    model = make_network()
    split = make_split()
    state = numpy.random.get_state()[1].copy()
    assert evaluate(model, split) == evaluate(model, split)
    numpy.testing.assert_array_equal(numpy.random.get_state()[1], state)


def test_cut_weights_are_at_zero() -> None:
    model = make_network()
    split = make_split()
    model.l1.log_sigma2.array[::2] = 20
    before = evaluate(model, split)
    model.l1.W.array[::2] = 0
    assert evaluate(model, split) == before
    model.l1.W.array[1::2] = 0
    assert evaluate(model, split) != before


def test_the_mode_is_as_it_was_afterwards() -> None:
    with chainer.using_config("train", True), chainer.using_config("enable_backprop", True):
        evaluate(make_network(), make_split())
        assert chainer.config.train
        assert chainer.config.enable_backprop


def test_examples_of_another_shape_are_refused() -> None:
    split = Split("squares", numpy.zeros((2, 1, 9, 9), numpy.uint8), numpy.zeros(2, numpy.int32))
    with pytest.raises(ArgumentError, match=r"\(1, 9, 9\), the model was made for \(1, 8, 8\)"):
        evaluate(make_network(), split)


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_labels_beyond_the_classes_are_refused(batch_size: int) -> None:
    logits = numpy.zeros((4, 3), "f")
    message = "the rows have labels up to 7, the network knows classes 0 to 2"
    with pytest.raises(ArgumentError, match=message):
        evaluate(Table(logits), table_split([0, 3, 7, 1]), batch_size)


def test_a_hopeless_network_errs_always() -> None:
    logits = numpy.array([[0, 1], [1, 0]], "f")
    assert evaluate(Table(logits), table_split([0, 1])).error == 100
    assert evaluate(Table(logits), table_split([1, 0])) == Evaluation(
        2, 0.0, pytest.approx(numpy.log1p(numpy.exp(-1)), rel=1e-6)
    )


class Convolutional(chainer.Chain):
    """A network with one layer that works with nine numbers per pixel and channel."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_sizes: list[int] = []
        with self.init_scope():
            self.conv = chainer.links.Convolution2D(2, 3, 3, pad=1)

    def forward(self, x: numpy.ndarray) -> chainer.Variable:
        self.batch_sizes.append(len(x))
        return F.average_pooling_2d(self.conv(x), 8)[:, :, 0, 0]


@pytest.mark.parametrize(("numbers", "expected"), [(7 * 9 * 2 * 64, 7), (100, 1), (10**9, 20)])
def test_batches_are_as_large_as_memory_lets_them(
    monkeypatch: pytest.MonkeyPatch, numbers: int, expected: int
) -> None:
    monkeypatch.setattr("vdprune.chain_evaluation._MOST_NUMBERS", numbers)
    random = numpy.random.default_rng(3)
    x = random.normal(size=(20, 2, 8, 8)).astype("f")
    split = Split("images", x, random.integers(0, 3, 20).astype("i"))
    model = Convolutional()
    evaluation = evaluate(model, split)
    assert max(model.batch_sizes) == expected
    assert sum(model.batch_sizes) == 20 + 1, "one example is looked at first"
    whole = evaluate(model, split, 20)
    assert (evaluation.examples, evaluation.error) == (whole.examples, whole.error)
    assert evaluation.loss == pytest.approx(whole.loss, rel=1e-5)
