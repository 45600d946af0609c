"""A network's arrays in a packed file: which are not zero, and which number of a codebook each is.

As in `vdprune.formats.packed_coding`, each function runs in both directions; for reading it is given
zeros.
"""

from typing import Any

import numpy

from vdprune.formats.packed_codebook import MOST_VALUES, code_by_codebook, to_bits
from vdprune.formats.packed_coding import Coder, Encoder, code_number, code_subset
from vdprune.graph import Graph


class Context:
    """What is known of an array before it is read, by what was read before.

    Units that nobody feeds are hardly ever read, and those that nobody reads need no bias. This is
    likely, not certain: it makes files smaller, and no network is refused for it.

    Args:
        graph: What the network computes.
        paths: Paths of the weights in the order in which they are coded.
    """

    def __init__(self, graph: Graph, paths: list[str]) -> None:
        self._paths = {path: place for place, path in reversed(list(enumerate(paths)))}
        self._rows: list[numpy.ndarray] = []
        self._columns: list[numpy.ndarray] = []
        self._places: dict[str, int] = {}
        place = -1
        for node in graph.nodes:
            own = [array.path for array in node.arrays.values()]
            place = next((self._paths[path] for path in own if path in self._paths), place)
            self._places.update(dict.fromkeys(own, place))

    def is_weight(self, path: str) -> bool:
        """Tell whether an array is a variational layer's weights."""
        return path in self._paths

    def expect(self, path: str, columns: int) -> numpy.ndarray:
        """Tell which columns of an array are likely not to be zero.

        Args:
            path: The array.
            columns: How many it has; an array of one axis has one row.

        Returns:
            Flags.
        """
        if path in self._paths:
            likely = self._rows[-1:]
        else:
            place = self._places.get(path, -1)
            likely = (
                [_read_rows(self._rows[place], self._columns[place + 1 :])] if place >= 0 else []
            )
        if likely and columns % len(likely[0]) == 0:
            return likely[0].repeat(columns // len(likely[0]))
        return numpy.ones(columns, bool)

    def learn(self, path: str, rows: numpy.ndarray, columns: numpy.ndarray) -> None:
        """Take in which rows and columns of an array are not zero."""
        if path in self._paths:
            self._rows.append(rows)
            self._columns.append(columns)


def _read_rows(rows: numpy.ndarray, readers: list[numpy.ndarray]) -> Any:
    """Tell which rows are read by the next layer, or else which are not zero."""
    if readers and len(readers[0]) % len(rows) == 0:
        return readers[0].reshape(len(rows), -1).any(axis=1)
    return rows


def code_array(coder: Coder, context: Context, path: str, array: numpy.ndarray) -> numpy.ndarray:
    """Code an array.

    Args:
        coder: The coder.
        context: What is known.
        path: Its path.
        array: It, or zeros for reading.

    Returns:
        The array.

    Raises:
        ValueError: The file is damaged.
    """
    if not array.size:
        return array
    may_be_images = array.ndim > 1 and not context.is_weight(path)
    if may_be_images and code_number(coder, int(_is_smooth(coder, array)), 1):
        return _code_images(coder, array)
    matrix = numpy.ascontiguousarray(array).reshape(len(array) if array.ndim > 1 else 1, -1)
    matrix, rows, columns = _code_matrix(coder, matrix, context.expect(path, matrix.shape[1]))
    context.learn(path, rows, columns)
    return matrix.reshape(array.shape)


def _is_smooth(coder: Coder, array: numpy.ndarray) -> bool:
    """Tell which way of coding an array takes fewer bytes, by trying both."""
    if not isinstance(coder, Encoder) or len(numpy.unique(to_bits(array))) > MOST_VALUES:
        return False
    sparse, smooth = Encoder(), Encoder()
    matrix = array.reshape(len(array), -1)
    _code_matrix(sparse, matrix, numpy.ones(matrix.shape[1], bool))
    _code_images(smooth, array)
    return len(smooth.data()) < len(sparse.data())


def _code_images(coder: Coder, array: numpy.ndarray) -> numpy.ndarray:
    values = numpy.ascontiguousarray(array).reshape(-1)
    values = values if isinstance(coder, Encoder) else values[:0]
    height, width = array.shape[-2:]
    return code_by_codebook(coder, values, array.size, (height, width)).reshape(array.shape)


def _code_matrix(
    coder: Coder, matrix: numpy.ndarray, likely: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Code a matrix: its rows and columns that are not zero, the places in these, the values there.

    Args:
        coder: The coder.
        matrix: It.
        likely: Which columns are likely not to be zero.

    Returns:
        The matrix, which rows are not zero, and which columns.

    Raises:
        ValueError: The file is damaged.
    """
    bits = to_bits(matrix)
    rows = _code_flags(coder, bits.any(axis=1), numpy.ones(len(matrix), bool))
    columns = _code_flags(coder, bits.any(axis=0), likely)
    inner = matrix[numpy.ix_(rows, columns)]
    places = numpy.flatnonzero(to_bits(inner))
    values = inner.reshape(-1)[places]
    places = code_subset(coder, places, inner.size, max(inner.shape) if inner.size else 0)
    inner.reshape(-1)[places] = code_by_codebook(coder, values, len(places))
    result = numpy.zeros_like(matrix)
    result[numpy.ix_(rows, columns)] = inner
    return result, rows, columns


def _code_flags(coder: Coder, flags: Any, likely: numpy.ndarray) -> numpy.ndarray:
    found = numpy.zeros(len(flags), bool)
    for part in (numpy.flatnonzero(likely), numpy.flatnonzero(~likely)):
        found[part[code_subset(coder, numpy.flatnonzero(flags[part]), len(part))]] = True
    return found
