"""Batches cut out of arrays, without a Python object for each example."""

from typing import Any

import numpy
from chainer.backend import Device
from chainer.dataset import Converter
from chainer.iterators import SerialIterator
from chainer.iterators._statemachine import iterator_statemachine


class RowIterator(SerialIterator):
    """Chainer's SerialIterator over ``range(n)``, in its order, whose batches are arrays and not lists.

    Args:
        n: How many rows there are.
        *args: The other arguments of SerialIterator.
        **kwargs: Likewise.
    """

    def __init__(self, n: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(range(n), *args, **kwargs)

    def __next__(self) -> Any:
        """Return the numbers of the next batch's rows, shape (rows,), int64."""
        self._previous_epoch_detail = self.epoch_detail
        state: Any = self._state  # type: ignore[has-type]
        self._state, numbers = iterator_statemachine(
            state, self.batch_size, self.repeat, self.order_sampler, len(self.dataset)
        )
        if numbers is None:
            raise StopIteration
        return numbers

    next = __next__


class ArrayBatches(Converter):
    """Converter for an updater or evaluator whose iterator yields row numbers.

    The iterator is a `RowIterator`, or any of Chainer's over ``range(n)``::

        StandardUpdater(RowIterator(len(x), 100), optimizer, converter=ArrayBatches(x, t))

    Args:
        *arrays: Arrays, or lists, of n rows each.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = [numpy.asarray(a) if isinstance(a, list) else a for a in arrays]

    def __call__(self, batch: Any, device: Device | None = None) -> tuple[Any, ...]:
        """Take rows.

        Args:
            batch: Row numbers, a list or array.
            device: Where the rows are to go; None leaves them.

        Returns:
            For each array its rows, shape (len(batch), ...).
        """
        numbers = numpy.asarray(batch)
        rows = tuple([take_rows(array, numbers) for array in self.arrays])
        return rows if device is None else tuple([device.send(array) for array in rows])


def take_rows(array: Any, numbers: Any) -> Any:
    """Take rows of an array, as a new one; of NumPy's two ways the faster.

    Args:
        array: Shape (n, ...).
        numbers: Their numbers.

    Returns:
        Shape (len(numbers), ...).
    """
    return array.take(numbers, axis=0) if isinstance(array, numpy.ndarray) else array[numbers]
