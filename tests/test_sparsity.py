import numpy
import pytest

from vdprune.sparsity import measure_sparsity


def test_counts_of_two_layers() -> None:
    a = numpy.zeros((2, 3), "f")
    a[0, 1] = -1e-30
    b = numpy.ones((4, 1, 1, 1), "f")
    sparsity = measure_sparsity([("a", a), ("b", b)])
    assert (sparsity.weights, sparsity.nonzero) == (10, 5)
    assert sparsity.compression == pytest.approx(2)
    assert [layer.sparsity for layer in sparsity.layers] == pytest.approx([5 / 6, 0])
    assert sparsity.to_json()["layers"][0] == {
        "name": "a",
        "shape": [2, 3],
        "weights": 6,
        "nonzero": 1,
        "sparsity": pytest.approx(5 / 6),
    }


def test_nothing_left_has_no_compression() -> None:
    sparsity = measure_sparsity([("a", numpy.zeros((2, 2), "f"))])
    assert sparsity.compression is None
    assert sparsity.sparsity == 1


def test_no_layers_at_all() -> None:
    assert measure_sparsity([]).sparsity == 0
