from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable, gradient_check

import vdprune
from experiments.parameterisations import (
    RunningVariance,
    measure_variances,
    multiplicative_gradient,
)
from vdprune.functions import variational_dropout_linear


class Tiny(vdprune.VariationalDropoutChain):
    def __init__(self) -> None:
        super().__init__(num_train=20)
        with self.init_scope():
            self.l1 = vdprune.VariationalDropoutLinear(4, 3, loga_threshold=8.0)

    def forward(self, x: Any) -> Any:
        return self.l1(x)


def layer_with_alpha(x: Any, W: Any, alpha: Any, noise: Any) -> Any:
    """The layer as the multiplicative parameterisation has it."""
    return x @ W.T + numpy.sqrt(x**2 @ (alpha * W**2).T + 1e-8) * noise


def test_multiplicative_gradient_is_that_at_fixed_alpha() -> None:
    random = numpy.random.default_rng(0)
    x, noise = random.normal(size=(5, 4)), random.normal(size=(5, 3))
    g = random.normal(size=(5, 3))
    # some so small that what is added to their squares matters
    W = random.normal(size=(3, 4)) * 10.0 ** random.integers(-4, 1, (3, 4))
    log_alpha = random.uniform(-7.9, 7.9, (3, 4))
    log_alpha[0, :2] = -9, 9  # clipped
    clipped = numpy.clip(log_alpha, -8, 8)

    theta, log_sigma2 = Variable(W), Variable(log_alpha + numpy.log(W**2 + 1e-8))
    y, _ = variational_dropout_linear(x, theta, log_sigma2, threshold=8.0, noise=noise)
    numpy.testing.assert_allclose(y.array, layer_with_alpha(x, W, numpy.exp(clipped), noise))
    F.sum(y * g).backward()
    gradient = multiplicative_gradient(W, theta.grad, log_sigma2.grad)

    (expected,) = gradient_check.numerical_grad(
        lambda: (layer_with_alpha(x, W, numpy.exp(clipped), noise),), (W,), (g,), eps=1e-6
    )
    numpy.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    is_clipped = log_alpha != clipped
    numpy.testing.assert_array_equal(gradient[is_clipped], theta.grad[is_clipped])
    assert (abs(gradient - theta.grad)[~is_clipped] > 1e-4).any()


def test_running_variance() -> None:
    samples = numpy.random.default_rng(0).normal(100, 1e-3, (7, 2, 3))
    running = RunningVariance()
    for sample in samples:
        running.add(sample)
    numpy.testing.assert_allclose(running.variance(), samples.var(axis=0, ddof=1), rtol=1e-8)


def test_measured_variances_are_those_of_the_gradients() -> None:
    model = Tiny()
    model.l1.log_sigma2.array[...] = -1
    x = numpy.random.standard_normal((20, 4)).astype("f")
    t = numpy.random.randint(0, 3, 20).astype("i")
    state = numpy.random.get_state()
    (layer,) = measure_variances(model, x, t, batches=6, batch_size=5)
    # training goes on as if nothing had been measured
    assert numpy.random.get_state()[2] == state[2]
    assert (numpy.random.get_state()[1] == state[1]).all()
    assert model.l1.W.grad is None

    additive, multiplicative = [], []
    for _ in range(6):
        rows = numpy.random.choice(20, 5, replace=False)
        model.cleargrads()
        F.softmax_cross_entropy(model(x[rows]), t[rows]).backward()
        additive.append(model.l1.W.grad.astype("d"))
        W = model.l1.W.array.astype("d")
        multiplicative.append(additive[-1] + 2 / W * model.l1.log_sigma2.grad)
    assert layer.name == "l1"
    assert layer.additive == pytest.approx(numpy.var(additive, axis=0, ddof=1))
    assert layer.multiplicative == pytest.approx(
        numpy.var(multiplicative, axis=0, ddof=1), rel=1e-3
    )
    assert layer.log_alpha == pytest.approx(-1 - numpy.log(W**2 + 1e-8), rel=1e-4)
    assert layer.multiplicative.mean() > layer.additive.mean()
