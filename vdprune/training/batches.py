"""Batches cut out of arrays, without a Python object for each example."""

from dataclasses import dataclass
from typing import Any

import numpy
from chainer.backend import Device
from chainer.dataset import Converter
from chainer.iterators import SerialIterator
from chainer.iterators._statemachine import iterator_statemachine

from vdprune.errors import ArgumentError
from vdprune.kernels.addresses import get_address


class RowIterator(SerialIterator):
    """Chainer's SerialIterator over ``range(n)``, in its order, whose batches are arrays and not lists.

    Args:
        n: How many rows there are.
        batch_size: How many a batch has.
        *args: The other arguments of SerialIterator.
        **kwargs: Likewise.

    Raises:
        ArgumentError: A batch is to have no rows.
    """

    def __init__(self, n: int, batch_size: int, *args: Any, **kwargs: Any) -> None:
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}: a batch has one row at least")
        super().__init__(range(n), batch_size, *args, **kwargs)

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

    def take_more(self, most: int) -> Any:
        """Take further batches, to the last but one of the epoch, all in one update.

        Args:
            most: How many, at most.

        Returns:
            Numbers of their rows, shape (batches, rows), int64; there may be none.
        """
        state: Any = self._state
        first, size = state.current_position, self.batch_size
        n = len(self.dataset if state.order is None else state.order)
        is_over = not self.repeat and state.epoch > 0
        count = 0 if is_over else max(0, min(most, (n - 1 - first) // size))
        last = first + count * size
        numbers = numpy.arange(first, last) if state.order is None else state.order[first:last]
        if count:
            self._state = state._replace(current_position=last, is_new_epoch=False)
        return numpy.ascontiguousarray(numbers, numpy.int64).reshape(count, size)


@dataclass(frozen=True)
class Rows:
    """Where the rows of a batch are.

    Args:
        examples: Addresses of the examples, int64, shape (batch,).
        numbers: Numbers of their labels.
        logits: Addresses of a teacher's logits, or None.
    """

    examples: Any
    numbers: Any
    logits: Any = None


class ArrayBatches(Converter):
    """Converter for an updater or evaluator whose iterator yields row numbers.

    The iterator is a `RowIterator`, or any of Chainer's over ``range(n)``::

        StandardUpdater(RowIterator(len(x), 100), optimizer, converter=ArrayBatches(x, t))

    Args:
        *arrays: Arrays, or lists, of n rows each.

    Raises:
        ArgumentError: They have different numbers of rows.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = [numpy.asarray(a) if isinstance(a, list) else a for a in arrays]
        counts = [len(array) for array in self.arrays]
        if len(set(counts)) > 1:
            raise ArgumentError(
                f"the arrays have {', '.join(map(str, counts))} rows: each must have one for each "
                "example"
            )

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

    def find_rows(self, batch: Any) -> Rows:
        """Tell where the rows are that a call would take, without taking them.

        Args:
            batch: Row numbers, int64.

        Returns:
            Their places; of three arrays the third one has a teacher's logits.
        """
        x, _, *logits = self.arrays
        return Rows(place(x, batch), batch, place(logits[0], batch) if logits else None)

    def count_rows(self) -> int:
        """Count the rows that all arrays have."""
        return min(map(len, self.arrays))

    def list_sources(self) -> tuple[list[Any], Any, list[Any]]:
        """List the arrays that examples come from, labels, and a teacher's logits."""
        x, t, *logits = self.arrays
        return [x], t, logits


def place(array: Any, numbers: Any) -> Any:
    """Return the addresses of rows.

    Args:
        array: A NumPy array, contiguous.
        numbers: Numbers of its rows, int64.

    Returns:
        Addresses, int64, shaped like the numbers.
    """
    return get_address(array) + numbers * (array.nbytes // len(array))


def take_rows(array: Any, numbers: Any) -> Any:
    """Take rows of an array, as a new one; of NumPy's two ways the faster.

    Args:
        array: Shape (n, ...).
        numbers: Their numbers.

    Returns:
        Shape (len(numbers), ...).
    """
    return array.take(numbers, axis=0) if isinstance(array, numpy.ndarray) else array[numbers]
