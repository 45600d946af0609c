"""A two-dimensional convolution with noise on its weights."""

from typing import Any

import chainer.functions as F
from chainer import Variable

from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.weight_moments import weight_moments


def variational_dropout_convolution_2d(
    x: Any,
    W: Any,
    log_alpha: Any,
    b: Any = None,
    stride: int | tuple[int, int] = 1,
    pad: int | tuple[int, int] = 0,
    dilate: int | tuple[int, int] = 1,
    groups: int = 1,
    threshold: float = 3.0,
    mask_variance: bool = True,
    noise: Any = None,
) -> Variable:
    """Convolution whose weights are noisy, the noise drawn for each output on its own.

    Args:
        x: Images, shape (batch, in_channels, height, width).
        W: Means theta of the weights, shape (out_channels, in_channels / groups, kh, kw).
        log_alpha: Their log alpha, same shape.
        b: Biases, shape (out_channels,); they carry no noise.
        stride: Step of the filters in pixels.
        pad: Zeros added around the images in pixels.
        dilate: Distance between neighbouring filter weights in pixels.
        groups: Number of groups of channels.
        threshold: Weights with a log alpha above it are masked: see `weight_moments`.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws, shape of the result: see `local_reparameterisation`.

    Returns:
        Pre-activations with mean x * W + b and variance (x^2) * (sigma^2), where * convolves;
        shape (batch, out_channels, out_height, out_width), dtype of x.

    Source: Molchanov et al., ICML 2017, equation 18.
    """
    mean, variance = weight_moments(W, log_alpha, threshold, mask_variance)
    geometry = {"stride": stride, "pad": pad, "dilate": dilate, "groups": groups}
    return local_reparameterisation(
        F.convolution_2d(x, mean, b, **geometry),
        F.convolution_2d(x * x, variance, None, **geometry),
        noise,
    )
