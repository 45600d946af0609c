"""Linear layers' passes, forward and back, against plain NumPy in float64."""

from itertools import pairwise
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune import threads
from vdprune.functions import linear_layers
from vdprune.functions.linear_inputs import Lesson
from vdprune.functions.linear_layers import LinearLayers
from vdprune.functions.linear_plan import LinearLayer
from vdprune.functions.variational_layer import Alive
from vdprune.kernels import cpu
from vdprune.threads import limited_threads

TEAMS = [threads.Team(1), threads.Team(2), threads.Team(3)]


def make_layer(
    random: Any, shape: tuple[int, int], dtype: str, dead: int = 2, **options: Any
) -> LinearLayer:
    """Make a layer with some outputs and inputs that are dead, of so many that are alive."""
    outputs, inputs = shape
    W = random.standard_normal(shape)
    log_sigma2 = numpy.log(W**2) + random.uniform(-10, 10, shape)
    chosen = (numpy.sort(random.permutation(n + dead)[:n]) for n in shape)
    return LinearLayer(
        W.astype(dtype),
        log_sigma2.astype(dtype),
        random.standard_normal(outputs + dead).astype(dtype),
        Alive(*chosen, (outputs + dead, inputs + dead)) if dead else None,
        3.0,
        **{"mask_variance": False, "prior": "log-uniform", "noise_scale": 1.0, **options},
        key=(1, 2),
    )


def draw(layer: LinearLayer, x: Any) -> dict[str, Any]:
    """Compute pre-activations, and what their gradients need, in plain NumPy."""
    k1 = reference.K1 if layer.prior == "log-uniform" else 0.0
    mean, variance, _, divergence = reference.weight_moments(
        layer.W, layer.log_sigma2, layer.threshold, layer.mask_variance, k1
    )
    outputs, inputs = numpy.arange(len(layer.W)), numpy.arange(layer.W.shape[1])
    if layer.alive is not None:
        outputs, inputs = layer.alive.outputs, layer.alive.inputs
    x = x[:, inputs].astype("f8")
    noise = layer.noise_scale * reference.normals(len(x), outputs.tolist(), layer.key)
    deviation = numpy.sqrt(x**2 @ variance.T + 1e-8)
    y = numpy.zeros((len(x), layer.shape[2])) + (0.0 if layer.b is None else layer.b)
    y[:, outputs] += x @ mean.T + deviation * noise
    return {
        "x": x,
        "y": y,
        "mean": mean,
        "variance": variance,
        "divergence": divergence,
        "slopes": noise / (2 * deviation),
        "outputs": outputs,
    }


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 9)),
    dead=st.sampled_from([0, 2]),
    same=st.sampled_from([0.0, 0.4, 1.0]),
    wants_x=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
    mask_variance=st.booleans(),
    prior=st.sampled_from(["log-uniform", "ard"]),
    noise_scale=st.sampled_from([1.0, 0.3, 0.0]),
)
@settings(deadline=None)
def test_both_passes(
    shape: tuple[int, int, int], dead: int, same: float, wants_x: bool, dtype: str, **options: Any
) -> None:
    rows, inputs, outputs = shape
    random = numpy.random.default_rng(0)
    layer = make_layer(random, (outputs, inputs), dtype, dead, **options)
    x = random.standard_normal((rows, inputs + dead)).astype(dtype)
    constant = random.random(inputs + dead) < same
    x[:, constant] = x[0, constant]
    g = random.standard_normal((rows, outputs + dead)).astype(dtype)
    layers = LinearLayers([layer], x)
    y, divergence = layers.forward()
    g_x, (g_W, g_log_sigma2, g_b) = layers.backward(g, 0.3, wants_x)

    expected = draw(layer, x)
    close = {"rtol": 1e-4, "atol": 1e-3}  # noise is float32
    assert divergence == pytest.approx(expected["divergence"], rel=1e-4)
    numpy.testing.assert_allclose(y, expected["y"], **close)
    numpy.testing.assert_allclose(g_b, g.sum(axis=0), **close)
    g = g[:, expected["outputs"]].astype("f8")
    g_variance = g * expected["slopes"]
    if dtype == "f8":  # the passes over weights have tests of their own
        means = g.T @ expected["x"], g_variance.T @ expected["x"] ** 2
        results = [numpy.empty_like(layer.W.reshape(-1)) for _ in range(4)]
        k1 = reference.K1 if layer.prior == "log-uniform" else 0.0
        flat = layer.W.reshape(-1), layer.log_sigma2.reshape(-1)
        cpu.weight_moments(*flat, 3.0, layer.mask_variance, k1, *results)
        rest = 0.3, means[0].reshape(-1), means[1].reshape(-1)
        cpu.weight_gradients(flat[0], *results[2:], layer.mask_variance, *rest)
        numpy.testing.assert_allclose(g_W, means[0], **close)
        numpy.testing.assert_allclose(g_log_sigma2, means[1], **close)
    if not wants_x:
        assert g_x is None
        return
    through = g @ expected["mean"] + 2 * expected["x"] * (g_variance @ expected["variance"])
    alive = slice(None) if layer.alive is None else layer.alive.inputs
    numpy.testing.assert_allclose(g_x[:, alive], through, **close)
    assert not numpy.delete(g_x, numpy.arange(inputs + dead)[alive], axis=1).any()


def make_layers(random: Any, sizes: list[int], dtype: str) -> list[LinearLayer]:
    return [
        make_layer(random, (outputs, inputs), dtype, dead=0, noise_scale=0.1)
        for inputs, outputs in pairwise(sizes)
    ]


@pytest.mark.usefixtures("two_threads")
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=5),
    relus=st.lists(st.booleans(), min_size=4, max_size=4),
    dtype=st.sampled_from(["f4", "f8"]),
    count=st.integers(1, 2),
    teacher=st.none() | st.tuples(st.floats(0.5, 5), st.floats(0, 1)),
)
@settings(deadline=None)
def test_an_objective_is_its_layers_one_after_the_other(
    sizes: list[int],
    relus: list[bool],
    dtype: str,
    count: int,
    teacher: tuple[float, float] | None,
) -> None:
    random = numpy.random.default_rng(1)
    layers = make_layers(random, sizes, dtype)
    for layer, has_relu in zip(layers[:-1], relus, strict=False):
        layer.has_relu = has_relu
    x = random.standard_normal((7, sizes[0])).astype(dtype)
    t = random.integers(0, sizes[-1], 7).astype("i4")
    lesson = teacher and Lesson(random.normal(0, 5, (7, sizes[-1])).astype(dtype), *teacher)
    with pytest.MonkeyPatch.context() as patch, limited_threads(count):
        patch.setattr(threads, "_LEAST_WORK", 1)
        found_losses = LinearLayers(layers, x).objective(t, 0.3, True, lesson)
    loss, from_teacher, right, divergence, g_x, gradients = found_losses

    # one by one, through the passes that the other test is about
    inputs, passes, total = [x], [], 0.0
    for layer in layers:
        one = LinearLayers([layer], inputs[-1])
        y, part = one.forward()  # which applies the ReLU
        passes.append(one)
        inputs.append(y)
        total += part
    g = numpy.empty_like(inputs[-1])
    sum_of_losses, expected_right = cpu.cross_entropy(inputs[-1], t, g)
    expected_from_teacher = 0.0
    if lesson is not None:
        distilled = reference.distil(inputs[-1], lesson.logits, lesson.temperature)
        expected_from_teacher = distilled[0]
        g = ((1 - lesson.weight) * g + lesson.weight * distilled[1]).astype(dtype)
    g /= len(t)
    found: list[Any] = []
    for one, layer, y in zip(passes[::-1], layers[::-1], inputs[:0:-1], strict=True):
        if layer.has_relu:
            g = g * (y > 0)
        g, of_layer = one.backward(g, 0.3, True)
        found = [*of_layer, *found]
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == "f4" else {"rtol": 1e-9, "atol": 1e-12}
    rounding = 1e-6 if dtype == "f4" else 0  # of a loss that is next to nothing
    assert loss == pytest.approx(sum_of_losses / 7, rel=close["rtol"], abs=rounding)
    assert from_teacher == pytest.approx(
        expected_from_teacher / 7, rel=close["rtol"], abs=close["atol"]
    )
    assert right == expected_right
    assert divergence == pytest.approx(total, rel=1e-4)
    numpy.testing.assert_allclose(g_x, g, **close)
    for a, b in zip(gradients, found, strict=True):
        numpy.testing.assert_allclose(a, b, **close)


@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=4),
    batch=st.integers(1, 40),
    dead=st.sampled_from([0, 2]),
    same=st.sampled_from([0.0, 0.6]),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_nothing_depends_on_the_number_of_threads(
    sizes: list[int], batch: int, dead: int, same: float, dtype: str
) -> None:
    random = numpy.random.default_rng(2)
    layers = [
        make_layer(random, (outputs, inputs), dtype, dead, has_relu=True)
        for inputs, outputs in pairwise(sizes)
    ]
    x = random.standard_normal((batch, sizes[0] + dead)).astype(dtype)
    constant = random.random(x.shape[1]) < same
    x[:, constant] = x[0, constant]
    t = random.integers(0, sizes[-1] + dead, batch).astype("i4")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_LEAST_WORK", 1)
        for team in TEAMS:
            patch.setattr(linear_layers, "get_team", lambda team=team: team)
            *numbers, g_x, gradients = LinearLayers(layers, x).objective(t, 0.3, True)
            y, divergence = LinearLayers(layers, x).forward()
            found.append([numpy.array([*numbers, divergence]), g_x, *gradients, y])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            numpy.testing.assert_array_equal(a, b)


def test_more_outputs_than_are_gone_through_at_a_time() -> None:
    random = numpy.random.default_rng(3)
    layer = make_layer(random, (20, 3000), "f8", dead=0)
    x = random.standard_normal((3, 3000))
    layers = LinearLayers([layer], x)
    y, divergence = layers.forward()
    g = random.standard_normal(y.shape)
    g_x, (g_W, *_) = layers.backward(g, 0.0, True)
    expected = draw(layer, x)
    numpy.testing.assert_allclose(y, expected["y"], rtol=1e-4, atol=1e-3)
    assert divergence == pytest.approx(expected["divergence"], rel=1e-4)
    through = g @ expected["mean"] + 2 * x * ((g * expected["slopes"]) @ expected["variance"])
    numpy.testing.assert_allclose(g_x, through, rtol=1e-4, atol=1e-3)
    is_cut = expected["mean"] == 0
    assert is_cut.any() and not is_cut.all()
    assert numpy.isfinite(g_W).all()


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_what_is_not_finite_is_seen(value: float) -> None:
    random = numpy.random.default_rng(4)
    layer = make_layer(random, (3, 5), "f4", dead=0)
    x = numpy.ones((4, 5), "f4")
    x[:, 2] = value
    y, _ = LinearLayers([layer], x).forward()
    assert not numpy.isfinite(y).any()


@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(0, 3, 2), (4, 0, 2), (4, 3, 0)])
def test_nothing(batch: int, inputs: int, outputs: int) -> None:
    W = numpy.ones((outputs, inputs), "f4")
    b = numpy.arange(outputs, dtype="f4")
    layer = LinearLayer(W, W.copy(), b, None, 3.0, False, "ard", 0.0)
    layers = LinearLayers([layer], numpy.ones((batch, inputs), "f4"))
    y, _ = layers.forward()
    g_x, (g_W, _, g_b) = layers.backward(numpy.ones_like(y), 0.0, True)
    assert y.shape == (batch, outputs)
    numpy.testing.assert_allclose(y, numpy.broadcast_to(b + inputs, y.shape), rtol=1e-6)
    assert g_x.shape == (batch, inputs) and (g_x == outputs).all()
    assert g_W.shape == W.shape and (g_b == batch).all()
