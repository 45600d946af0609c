"""Noise on pre-activations in the place of noise on weights."""

from typing import Any

import numpy
from chainer import Variable, as_variable
from chainer.backend import get_array_module

from vdprune import kernels
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.variational_layer import check_noise, new_key
from vdprune.kernels.constants import EPSILON


class LocalReparameterisation(FirstOrderFunction):
    """mean + sqrt(variance + 1e-8) * noise, without the noise where the variance is 0."""

    def __init__(self, noise: Any, noise_scale: float) -> None:
        super().__init__()
        self.noise = noise
        self.noise_scale = noise_scale

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        mean, variance = inputs
        xp = get_array_module(mean)
        if self.noise is None:
            self.noise = _standard_normal(xp, mean.shape, mean.dtype)
        noise = self.noise_scale * (self.noise * (variance != 0))
        y = variance + EPSILON
        xp.sqrt(y, out=y)
        self.half_noise_over_deviation = 0.5 * noise / y
        y *= noise
        y += mean
        return (y,)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        (g,) = grad_outputs
        return tuple(g if index == 0 else g * self.half_noise_over_deviation for index in indexes)


def _standard_normal(xp: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if xp is numpy:
        return numpy.random.standard_normal(shape).astype(dtype, copy=False)
    return kernels.cuda.normals(shape, dtype, new_key())


def local_reparameterisation(
    mean: Any, variance: Any, noise: Any = None, noise_scale: float = 1.0
) -> Variable:
    """Draw pre-activations from the distribution that noisy weights give them.

    Args:
        mean: Means of the pre-activations, any shape, floating point.
        variance: Their variances, same shape and dtype, not negative.
        noise: Standard normal draws to use, an array of the same shape and dtype; by default new ones
            from the global generator of the array's module (``numpy.random``, ``cupy.random``).
        noise_scale: What they are multiplied by.

    Returns:
        mean + sqrt(variance + 1e-8) * noise_scale * noise, same shape and dtype; the mean where the
        variance is 0, as that of a unit without weights is.

    Raises:
        ArgumentError: The noise has another shape than the mean.

    Source: Kingma et al., "Variational Dropout and the Local Reparameterization Trick", NIPS
    2015, section 2.2; Molchanov et al., ICML 2017, equations 17 and 18.
    """
    mean = as_variable(mean)
    check_noise(noise, mean.shape)
    return LocalReparameterisation(noise, noise_scale).apply((mean, variance))[0]
