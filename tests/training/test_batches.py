from pathlib import Path
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest
from chainer.datasets import TupleDataset
from chainer.iterators import MultithreadIterator, SerialIterator
from chainer.training import StandardUpdater, extensions

from vdprune import ArrayBatches, RowIterator
from vdprune.errors import ArgumentError

X = numpy.arange(77 * 6, dtype="f4").reshape(77, 2, 3)
T = numpy.arange(77, dtype="i4") % 5


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_those_of_chainer_in_their_order(shuffle: bool, is_ours: bool) -> None:
    numpy.random.seed(3)
    rows: Any = (
        RowIterator if is_ours else lambda n, *args, **kw: SerialIterator(range(n), *args, **kw)
    )
    iterator, convert = rows(77, 10, shuffle=shuffle), ArrayBatches(X, T)
    mine = [(iterator.epoch_detail, *convert(iterator.next())) for _ in range(20)]
    numpy.random.seed(3)
    iterator = SerialIterator(TupleDataset(X, T), 10, shuffle=shuffle)
    theirs = [
        (iterator.epoch_detail, *chainer.dataset.concat_examples(iterator.next()))
        for _ in range(20)
    ]
    for found, expected in zip(mine, theirs, strict=True):
        for a, b in zip(found, expected, strict=True):
            numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [1, 9, 10, 11, 70, 77])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("most", [0, 2, 100])
def test_several_batches_are_those_that_would_follow(n: int, shuffle: bool, most: int) -> None:
    iterators = []
    for _ in range(2):
        numpy.random.seed(3)
        iterators.append(RowIterator(n, 10, shuffle=shuffle))
    expected, iterator = iterators
    for _ in range(12):
        state = numpy.random.get_state()
        numbers = expected.next()
        numpy.random.set_state(state)
        numpy.testing.assert_array_equal(iterator.next(), numbers)
        before = iterator.previous_epoch_detail
        epoch, found = iterator.epoch, iterator.take_more(most)
        assert len(found) <= most
        assert found.shape[1:] == (10,)
        assert found.dtype == numpy.int64 and found.flags.c_contiguous
        assert (iterator.epoch, iterator.previous_epoch_detail) == (epoch, before)
        for numbers in found:
            numpy.testing.assert_array_equal(numbers, expected.next())
            assert not expected.is_new_epoch
        if most == 100:  # the next one is the last of the epoch
            assert expected.current_position + 10 >= n
        assert iterator.epoch_detail == expected.epoch_detail
        assert iterator.is_new_epoch == expected.is_new_epoch


def test_arrays_of_different_lengths() -> None:
    with pytest.raises(ArgumentError, match="77, 60 rows"):
        ArrayBatches(X, T[:60])


@pytest.mark.parametrize("size", [0, -1])
def test_batches_without_rows(size: int) -> None:
    with pytest.raises(ArgumentError, match=f"batch_size is {size}"):
        RowIterator(77, size)


def test_an_order_of_some_of_the_rows() -> None:
    iterator = RowIterator(77, 10, order_sampler=lambda order, position: numpy.arange(25))
    assert iterator.take_more(100).tolist() == [list(range(10)), list(range(10, 20))]
    assert iterator.next().tolist() == [*range(20, 25), *range(5)]


def test_after_the_last_of_batches_that_are_not_repeated_there_are_no_more() -> None:
    iterator = RowIterator(30, 10, repeat=False)
    assert len(iterator.take_more(100)) == 2
    iterator.next()
    assert len(iterator.take_more(100)) == 0


def test_updater_and_evaluator_take_them() -> None:
    model = L.Classifier(L.Linear(6, 5))
    optimizer = chainer.optimizers.SGD().setup(model)
    convert = ArrayBatches(X / 500, T)
    updater = StandardUpdater(SerialIterator(range(77), 10), optimizer, converter=convert)
    before = model.predictor.W.array.copy()
    updater.update()
    assert (model.predictor.W.array != before).any()
    for iterator in (
        SerialIterator(range(77), 10, repeat=False, shuffle=False),
        MultithreadIterator(range(77), 10, repeat=False, shuffle=False),
    ):
        result = extensions.Evaluator(iterator, model, converter=convert)()
        with chainer.using_config("train", False):
            model(X / 500, T)
        assert float(result["main/loss"]) > 0
    optimizer.update(model, *convert([1, 2, 3], chainer.get_device("@numpy")))


def test_rows_end_where_they_are_not_repeated() -> None:
    iterator = RowIterator(7, 3, repeat=False, shuffle=False)
    assert [batch.tolist() for batch in iterator] == [[0, 1, 2], [3, 4, 5], [6]]
    assert (iterator.epoch, iterator.is_new_epoch) == (1, True)


def test_rows_go_on_where_they_were_saved(tmp_path: Path) -> None:
    numpy.random.seed(1)
    saved, loaded = RowIterator(20, 6), RowIterator(20, 6)
    saved.next()
    chainer.serializers.save_npz(tmp_path / "rows.npz", saved)
    chainer.serializers.load_npz(tmp_path / "rows.npz", loaded)
    for _ in range(2):
        numpy.testing.assert_array_equal(loaded.next(), saved.next())
    assert loaded.epoch_detail == saved.epoch_detail
