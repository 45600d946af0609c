from pathlib import Path

import numpy
import pytest
from chainer import Variable, serializers

from vdprune.errors import ArgumentError
from vdprune.links import InputScaling


def fitted() -> tuple[InputScaling, numpy.ndarray]:
    x = numpy.random.randint(0, 256, (50, 1, 4, 4)).astype(numpy.uint8)
    link = InputScaling((1, 4, 4))
    link.fit(x, 1 / 256)
    return link, x


def test_scales_bytes_and_takes_the_mean_away() -> None:
    link, x = fitted()
    y = link(x)
    assert y.dtype == numpy.float32
    expected = x / 256 - (x / 256).mean(axis=0)
    numpy.testing.assert_allclose(y, expected, atol=1e-6)


def test_new_link_changes_nothing() -> None:
    x = numpy.random.randn(2, 3).astype("f")
    numpy.testing.assert_array_equal(InputScaling((3,))(x), x)


def test_gradient_flows_through_a_variable() -> None:
    link, x = fitted()
    variable = Variable(x.astype("f"))
    y = link(variable)
    numpy.testing.assert_allclose(y.array, link(x), atol=1e-6)
    y.grad = numpy.ones_like(y.array)
    y.backward()
    numpy.testing.assert_allclose(variable.grad, 1 / 256)


def test_is_saved_with_the_model(tmp_path: Path) -> None:
    link, x = fitted()
    serializers.save_hdf5(tmp_path / "link.h5", link)
    other = InputScaling((1, 4, 4))
    serializers.load_hdf5(tmp_path / "link.h5", other)
    numpy.testing.assert_array_equal(link(x), other(x))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"examples have shape \(1, 5, 5\), the model was made"):
        fitted()[0](numpy.zeros((2, 1, 5, 5), "f"))
