import chainer
import chainer.links as L
import numpy
import pytest
from chainer.datasets import TupleDataset
from chainer.iterators import MultithreadIterator, SerialIterator
from chainer.training import StandardUpdater, extensions

from vdprune import ArrayBatches

X = numpy.arange(77 * 6, dtype="f4").reshape(77, 2, 3)
T = numpy.arange(77, dtype="i4") % 5


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_those_of_chainer_in_their_order(shuffle: bool) -> None:
    numpy.random.seed(3)
    iterator, convert = SerialIterator(range(77), 10, shuffle=shuffle), ArrayBatches(X, T)
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
