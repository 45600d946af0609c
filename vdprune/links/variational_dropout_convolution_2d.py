"""Convolution2D link with variational dropout."""

from typing import Any

import chainer
import chainer.links as L

from vdprune import functions
from vdprune.functions.prior import LOG_UNIFORM
from vdprune.links.variational_dropout import VariationalDropout


class VariationalDropoutConvolution2D(VariationalDropout, L.Convolution2D):
    """Drop-in for ``chainer.links.Convolution2D`` that learns one noise level per weight.

    In training the pre-activations are sampled; in evaluation (``chainer.config.train`` False) the
    layer is a plain one with the means of the weights, zero where log alpha is above the
    threshold.

    Args:
        in_channels: Channels of the images; None, or left out, to take it from the first batch.
        out_channels: Number of filters.
        ksize: Height and width of the filters, an int or a pair.
        stride: Step of the filters, an int or a pair.
        pad: Zeros added around the images, an int or a pair.
        nobias: Whether to leave the bias out.
        initialW: Initializer of the means ``W``, shape (out_channels, in_channels / groups, kh,
            kw).
        initial_bias: Initializer of the bias ``b``, shape (out_channels,).
        p_threshold: Dropout rate p = alpha / (1 + alpha) above which a weight counts as zero.
            By default 0.95, or what follows from loga_threshold.
        loga_threshold: The same threshold as a log alpha. By default 3.0, or what follows from
            p_threshold.
        initial_log_sigma2: Where the logarithm of the weights' variances starts.
        mask_variance: Whether the variance of a cut weight is masked in training as its mean is.
        prior: Prior of the weights, ``"log-uniform"`` or ``"ard"``: see
            `vdprune.functions.kl_divergence`.
        dilate: Distance between neighbouring filter weights, an int or a pair.
        groups: Number of groups of channels.

    Raises:
        ArgumentError: The two thresholds disagree, or there is no such prior.

    Source: Molchanov et al., ICML 2017, sections 4.2 to 4.4.

    >>> layer = VariationalDropoutConvolution2D(1, 20, 5)
    >>> layer(numpy.zeros((100, 1, 28, 28), "float32")).shape
    (100, 20, 24, 24)
    """

    masks_variance_by_default = True

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int | None,
        ksize: Any = None,
        stride: Any = 1,
        pad: Any = 0,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        p_threshold: float | None = None,
        loga_threshold: float | None = None,
        initial_log_sigma2: float = -10.0,
        mask_variance: bool = masks_variance_by_default,
        prior: str = LOG_UNIFORM,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, **kwargs
        )
        self.init_variational_dropout(
            p_threshold, loga_threshold, initial_log_sigma2, mask_variance, prior
        )

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the layer.

        Args:
            x: Images, shape (batch, in_channels, height, width).

        Returns:
            Variable of shape (batch, out_channels, out_height, out_width).
        """
        if self.W.array is None:
            self._initialize_params(x.shape[1])
        geometry = {
            "stride": self.stride,
            "pad": self.pad,
            "dilate": self.dilate,
            "groups": self.groups,
        }
        W = self.noiseless_W()
        if W is not None:
            return functions.convolution_2d(x, W, self.b, **geometry, kept=self.fixed_kept())
        self._initialize_log_sigma2()
        y_and_divergence = functions.variational_dropout_convolution_2d(
            x,
            self.W,
            self.log_sigma2,
            self.b,
            **geometry,
            threshold=self.loga_threshold,
            mask_variance=self.mask_variance,
            alive=self.alive,
            prior=self.prior,
            noise_scale=self.noise_scale,
        )
        return self._keep_divergence(y_and_divergence)
