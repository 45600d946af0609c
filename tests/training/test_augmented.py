from collections.abc import Callable

import chainer
import numpy
import pytest
from chainer.dataset import Converter
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater

from tests.training.test_teacher_logits import make_teacher
from vdprune.archs import build_arch
from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError
from vdprune.training.augmented import AugmentedBatches, WarpedBatches
from vdprune.training.teacher_logits import compute_logits
from vdprune.training.warped_copies import WarpedCopies, make_copies

X = numpy.random.RandomState(0).randint(1, 256, (60, 1, 8, 8)).astype("u1")
T = (numpy.arange(60) % 3).astype("i4")
WARP = Augmentation(rotation=15, shift=1.0)
ROWS = [5, 5, 0, 59, 17]


@pytest.fixture(scope="module")
def teacher() -> VariationalDropoutChain:
    return make_teacher()


@pytest.fixture(scope="module")
def copies(teacher: VariationalDropoutChain) -> WarpedCopies:
    return make_copies(X, WARP, 4, 3, teacher)


def test_on_the_fly(teacher: VariationalDropoutChain) -> None:
    numpy.random.seed(9)
    x, t, logits = AugmentedBatches(X, T, WARP, teacher)(ROWS)
    expected = WARP.apply(X[ROWS], numpy.random.RandomState(9))
    numpy.testing.assert_array_equal(x, expected)
    numpy.testing.assert_array_equal(t, T[ROWS])
    numpy.testing.assert_array_equal(logits, compute_logits(teacher, expected))
    assert (x.dtype, t.dtype, logits.dtype) == ("u1", "i4", "f4")
    assert (x[0] != x[1]).any()


def test_on_the_fly_without_a_teacher() -> None:
    numpy.random.seed(9)
    x, t = AugmentedBatches(X, T, WARP)(ROWS)
    numpy.testing.assert_array_equal(x, WARP.apply(X[ROWS], numpy.random.RandomState(9)))
    numpy.testing.assert_array_equal(t, T[ROWS])


def test_a_copy_takes_the_place_of_some_images_and_their_logits(copies: WarpedCopies) -> None:
    rows = numpy.arange(2000) % 60
    x, t, logits = WarpedBatches(X, T, copies, 0.6)(rows.tolist())
    numpy.testing.assert_array_equal(t, T[rows])
    counts = numpy.zeros(5, int)
    pool = numpy.concatenate([X[None], copies.images])
    pool_logits = numpy.concatenate([copies.plain_logits[None], copies.logits])
    for row, image, answer in zip(rows, x, logits, strict=True):
        (which,) = numpy.flatnonzero((pool[:, row] == image).all(axis=(1, 2, 3)))
        numpy.testing.assert_array_equal(answer, pool_logits[which, row])
        counts[which] += 1
    assert 700 < counts[0] < 900
    assert (counts[1:] > 230).all()


def test_copies_without_a_teacher() -> None:
    x, t = WarpedBatches(X, T, make_copies(X, WARP, 2, 3), 1.0)(ROWS)
    assert (x != X[ROWS]).any(axis=(1, 2, 3)).all()
    numpy.testing.assert_array_equal(t, T[ROWS])


def test_probability_0_leaves_the_images(copies: WarpedCopies) -> None:
    x, _, logits = WarpedBatches(X, T, copies, 0.0)(ROWS)
    numpy.testing.assert_array_equal(x, X[ROWS])
    numpy.testing.assert_array_equal(logits, copies.plain_logits[ROWS])


Make = Callable[[VariationalDropoutChain, WarpedCopies], Converter]
CONVERTERS: dict[str, Make] = {
    "on the fly": lambda teacher, copies: AugmentedBatches(X, T, WARP, teacher),
    "copies": lambda teacher, copies: WarpedBatches(X, T, copies, 0.5),
}


@pytest.mark.parametrize("name", CONVERTERS)
def test_from_a_saved_random_state_it_goes_on_as_it_would_have(
    name: str, teacher: VariationalDropoutChain, copies: WarpedCopies
) -> None:
    convert = CONVERTERS[name](teacher, copies)
    convert(ROWS)
    state = numpy.random.get_state()
    expected = [convert(ROWS) for _ in range(3)]
    numpy.random.set_state(state)
    convert = CONVERTERS[name](teacher, copies)
    for batch in expected:
        for a, b in zip(convert(ROWS), batch, strict=True):
            numpy.testing.assert_array_equal(a, b)
    assert (expected[0][0] != expected[1][0]).any()


@pytest.mark.parametrize("name", CONVERTERS)
def test_data_and_copies_stay_as_they_are(
    name: str, teacher: VariationalDropoutChain, copies: WarpedCopies
) -> None:
    kept = [X, T, copies.images, copies.logits, copies.plain_logits]
    before = [array.copy() for array in kept]
    for array in CONVERTERS[name](teacher, copies)(ROWS):
        array[...] = 0
    for a, b in zip(kept, before, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CONVERTERS)
def test_they_go_to_the_device(
    name: str, teacher: VariationalDropoutChain, copies: WarpedCopies
) -> None:
    sent = []

    class Watch(type(chainer.get_device("@numpy"))):  # type: ignore[misc]
        def send(self, array: numpy.ndarray) -> numpy.ndarray:
            sent.append(array.shape)
            return super().send(array)

    CONVERTERS[name](teacher, copies)(ROWS, Watch())
    assert sorted(sent) == [(5,), (5, 1, 8, 8), (5, 3)]


@pytest.mark.parametrize("name", CONVERTERS)
def test_an_updater_takes_them(
    name: str, teacher: VariationalDropoutChain, copies: WarpedCopies
) -> None:
    model = build_arch("lenet300", input_shape=(1, 8, 8), classes=3)
    optimizer = chainer.optimizers.SGD().setup(model)
    shapes = []

    def loss(x: numpy.ndarray, t: numpy.ndarray, logits: numpy.ndarray) -> chainer.Variable:
        shapes.append((x.shape, t.shape, logits.shape))
        return chainer.functions.softmax_cross_entropy(model(x), t)

    StandardUpdater(
        SerialIterator(range(60), 10),
        optimizer,
        converter=CONVERTERS[name](teacher, copies),
        loss_func=loss,
        device="@numpy",
    ).update()
    assert shapes == [((10, 1, 8, 8), (10,), (10, 3))]


def test_copies_of_other_images(copies: WarpedCopies) -> None:
    for images in (X[:30], X[..., :7], X.astype("f4")):
        with pytest.raises(ArgumentError, match="make copies of these images"):
            WarpedBatches(images, T, copies, 0.5)
