import chainer
import numpy
import pytest

from vdprune import build_arch
from vdprune.archs import ARCHS
from vdprune.errors import ArgumentError

SHAPES = {
    "lenet300": [(300, 784), (100, 300), (10, 100)],
    "lenet5": [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)],
}


@pytest.mark.parametrize("arch", ARCHS)
def test_layers_are_those_of_the_paper(arch: str) -> None:
    model = build_arch(arch)
    model.to_variational_dropout()
    assert [layer.shape for layer in model.sparsity().layers] == SHAPES[arch]


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 17, 22), (1, 16, 19)])
def test_any_image_size_and_number_of_classes(arch: str, shape: tuple[int, ...]) -> None:
    model = build_arch(arch, input_shape=shape, classes=7)
    with chainer.using_config("train", False):
        y = model(numpy.zeros((2, *shape), numpy.uint8))
    assert y.shape == (2, 7)
    assert all(param.array is not None for param in model.params())


@pytest.mark.parametrize("arch", ARCHS)
def test_initial_weights(arch: str) -> None:
    model = build_arch(arch, theta_std=0.03)
    stds = [param.array.std() for name, param in model.namedparams() if name.endswith("W")]
    assert stds == pytest.approx([0.03] * len(stds), rel=0.15)


@pytest.mark.parametrize("arch", ARCHS)
def test_registry_describes_each(arch: str) -> None:
    assert ARCHS[arch].description


def test_unknown_arch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no arch 'lenet': choose from lenet300, lenet5"):
        build_arch("lenet")


@pytest.mark.parametrize("shape", [(1, 15, 28), (784,), (28, 28)])
def test_lenet5_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="at least 16 pixels"):
        build_arch("lenet5", input_shape=shape)
