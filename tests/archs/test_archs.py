import math
from typing import Any

import chainer
import numpy
import pytest
from chainer.optimizers import Adam

from vdprune import build_arch
from vdprune.archs import ARCHS, check_arch_size
from vdprune.errors import ArgumentError

SHAPES = {
    "lenet300": [(300, 784), (100, 300), (10, 100)],
    "lenet5": [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)],
    "lenet5-bn": [(24, 1, 5, 5), (48, 24, 5, 5), (128, 768), (10, 128)],
    "vgg-like": [
        (64, 3, 3, 3),
        (64, 64, 3, 3),
        (128, 64, 3, 3),
        (128, 128, 3, 3),
        (256, 128, 3, 3),
        (256, 256, 3, 3),
        (256, 256, 3, 3),
        (512, 256, 3, 3),
        *[(512, 512, 3, 3)] * 5,
        (512, 512),
        (10, 512),
    ],
}
SMALL: dict[str, dict[str, Any]] = {"vgg-like": {"width": 0.0625}}
LEAST = {"lenet300": 1, "lenet5": 16, "lenet5-bn": 16, "vgg-like": 32}
SIZES = [(1, 28, 28), (3, 32, 32), (1, 16, 16), (1, 17, 22), (2, 33, 65)]
on_images_it_takes = pytest.mark.parametrize(
    ("arch", "shape"),
    [(arch, shape) for arch in ARCHS for shape in SIZES if min(shape[1:]) >= LEAST[arch]],
)


@pytest.mark.parametrize("arch", ARCHS)
def test_layers_are_those_of_the_paper(arch: str) -> None:
    model = build_arch(arch)
    model.to_variational_dropout()
    assert [layer.shape for layer in model.sparsity().layers] == SHAPES[arch]


@on_images_it_takes
@pytest.mark.parametrize("classes", [2, 26])
def test_any_image_size_and_number_of_classes(
    arch: str, shape: tuple[int, ...], classes: int
) -> None:
    model = build_arch(arch, input_shape=shape, classes=classes, **SMALL.get(arch, {}))
    with chainer.using_config("train", False):
        y = model(numpy.zeros((2, *shape), numpy.uint8))
    assert y.shape == (2, classes)
    assert all(param.array is not None for param in model.params())


@on_images_it_takes
def test_a_training_step(arch: str, shape: tuple[int, ...]) -> None:
    random = numpy.random.default_rng(3)
    model = build_arch(arch, input_shape=shape, classes=26, theta_std=0.1, **SMALL.get(arch, {}))
    model.to_variational_dropout()
    model.num_train = 100
    model.kl_coef = 1.0
    before = {name: param.array.copy() for name, param in model.namedparams()}
    x = random.integers(0, 256, (26, *shape)).astype(numpy.uint8)
    model.scaling.fit(x, 1 / 256)
    Adam().setup(model).update(model.calc_loss, x, numpy.arange(26, dtype=numpy.int32))
    for name, param in model.namedparams():
        assert numpy.isfinite(param.array).all(), name
        assert (param.array != before[name]).any(), f"{name} is not trained"


@pytest.mark.parametrize("arch", ARCHS)
def test_initial_weights(arch: str) -> None:
    kwargs = {"width": 0.25} if "width" in ARCHS[arch].options else {}
    model = build_arch(arch, theta_std=0.03, **kwargs)
    stds = [param.array.std() for name, param in model.namedparams() if name.endswith("W")]
    assert stds == pytest.approx([0.03] * len(stds), rel=0.15)


@pytest.mark.parametrize("arch", ["lenet300", "lenet5", "lenet5-bn"])
@pytest.mark.parametrize("theta_std", [{}, {"theta_std": None}])
def test_initial_weights_of_lenets_are_the_papers(arch: str, theta_std: dict[str, Any]) -> None:
    model = build_arch(arch, **theta_std)
    for name, param in model.namedparams():
        if name.endswith("W"):
            expected = 0.01
            if arch == "lenet5" and "conv" in name:
                filters, channels, *size = param.shape
                expected = math.sqrt(2 / ((filters + channels) * math.prod(size)))
            assert param.array.std() == pytest.approx(expected, rel=0.15), name


@pytest.mark.parametrize("theta_std", [{}, {"theta_std": None}])
def test_initial_weights_of_the_deep_network_are_hes(theta_std: dict[str, Any]) -> None:
    model = build_arch("vgg-like", width=0.25, **theta_std)
    for name, param in model.namedparams():
        if name.endswith("W"):
            expected = math.sqrt(2 / math.prod(param.shape[1:]))
            assert param.array.std() == pytest.approx(expected, rel=0.15), name


@pytest.mark.parametrize("arch", ["lenet5-bn", "vgg-like"])
def test_what_is_normalised_does_not_depend_on_the_scale_of_its_weights(arch: str) -> None:
    model = build_arch(arch, **SMALL.get(arch, {}))
    x = numpy.random.default_rng(3).integers(0, 256, (8, *model.scaling.mean.shape))
    x = x.astype(numpy.uint8)
    with chainer.using_config("train", True), chainer.no_backprop_mode():
        numpy.random.seed(1)
        y = model(x).array
        for name, param in model.namedparams():
            if "conv" in name:
                param.array *= 3
        numpy.random.seed(1)
        numpy.testing.assert_allclose(model(x).array, y, atol=2e-3 * abs(y).max())


def test_lenet5_has_relu_after_its_convolutions() -> None:
    model = build_arch("lenet5", theta_std=0.1)
    seen: dict[str, Any] = {}

    class Watch(chainer.LinkHook):
        def forward_preprocess(self, args: Any) -> None:
            seen[args.link.name] = chainer.as_array(args.args[0])

    x = numpy.random.default_rng(3).integers(0, 256, (5, 1, 28, 28)).astype(numpy.uint8)
    with Watch():
        model(x)
    for name in ("conv2", "l3", "l4"):
        assert seen[name].min() == 0 < seen[name].max(), name


def test_lenet5_bn_drops_out_in_training_only() -> None:
    model = build_arch("lenet5-bn", theta_std=0.1)
    seen: dict[str, list[float]] = {"l3": [], "l4": []}

    class Watch(chainer.LinkHook):
        def forward_preprocess(self, args: Any) -> None:
            if args.link.name in seen:
                seen[args.link.name].append(float((args.args[0].array == 0).mean()))

    x = numpy.random.default_rng(3).integers(0, 256, (50, 1, 28, 28)).astype(numpy.uint8)
    with chainer.no_backprop_mode():
        model(x)  # BatchNormalization learns, so that both passes see about the same
        model.bn1.decay = model.bn2.decay = 0
        model(x)
        with Watch():
            model(x)
            with chainer.using_config("train", False):
                model(x)
                first = model(x).array
                numpy.testing.assert_array_equal(model(x).array, first)
    for shares in seen.values():
        training, testing = shares[:2]
        assert training - testing == pytest.approx(0.3 * (1 - testing), abs=0.05)


@pytest.mark.parametrize("width", [0.25, 0.3, 1.5, 1])
def test_every_layer_is_as_wide_as_told(width: float) -> None:
    model = build_arch("vgg-like", width=width)
    for i, filters in enumerate((64, 128, 256, 512, 512), 1):
        expected = round(filters * width)
        assert model[f"conv{i}_1"].W.shape[0] == model[f"conv{i}_2"].W.shape[0] == expected
    assert model.l6.W.shape == (round(512 * width), round(512 * width))
    assert model.l7.W.shape == (10, round(512 * width))


def test_there_is_at_least_one_filter() -> None:
    model = build_arch("vgg-like", width=1e-6)
    assert {link.W.shape[0] for name, link in model.namedlinks() if "conv" in name} == {1}


@pytest.mark.parametrize("width", [0, -1, 8.01, math.inf, math.nan, "1", True, None])
def test_other_widths_are_refused(width: Any) -> None:
    with pytest.raises(ArgumentError, match="width is .*: it must be a number above 0, at most 8"):
        build_arch("vgg-like", width=width)


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch != "vgg-like"])
def test_an_option_of_another_arch_is_refused(arch: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{arch} has no width: that is for vgg-like$"):
        build_arch(arch, width=1.0)


@pytest.mark.parametrize("arch", ARCHS)
def test_an_option_of_none_is_refused(arch: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{arch} has no depth$"):
        build_arch(arch, depth=3)


@pytest.mark.parametrize("arch", ARCHS)
def test_registry_describes_each(arch: str) -> None:
    assert ARCHS[arch].description


def test_unknown_arch_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match="no arch 'lenet': choose from lenet300, lenet5, lenet5-bn, vgg-like"
    ):
        build_arch("lenet")


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if LEAST[arch] > 1])
def test_what_is_no_image_is_refused(arch: str) -> None:
    least = LEAST[arch]
    for shape in [(1, least - 1, 64), (1, 64, least - 1), (784,), (64, 64), (1, 1, 64, 64)]:
        with pytest.raises(ArgumentError, match=f"{arch} takes images .* at least {least} pixels"):
            build_arch(arch, input_shape=shape)


def sizes_of(width: float) -> list[tuple[int, ...]]:
    """Shapes of some arrays of a VGG-like network."""
    counts = [(round(filters * width),) for filters in (64, 128, 256, 512)]
    return [(3, 32, 32), (10, counts[-1][0]), *counts]


@pytest.mark.parametrize("width", [1, 0.25, 1.5, 0.3])
def test_a_width_that_fits_the_arrays(width: float) -> None:
    kwargs = {"input_shape": [3, 32, 32], "classes": 10, "width": width}
    check_arch_size(kwargs, sizes_of(width))
    for missing in range(2, 6):
        shapes = sizes_of(width)
        del shapes[missing]
        with pytest.raises(ValueError, match=f"width is {width}, which makes"):
            check_arch_size(kwargs, shapes)


@pytest.mark.parametrize("width", [1e9, 10**400, 2, 0, "wide", None])
def test_a_width_that_does_not(width: Any) -> None:
    kwargs = {"input_shape": [3, 32, 32], "classes": 10, "width": width}
    with pytest.raises(ValueError, match="width is"):
        check_arch_size(kwargs, sizes_of(1))
