"""Linear link with variational dropout."""

from typing import Any

import chainer
import chainer.links as L
import numpy

from vdprune import functions
from vdprune.chainer_speed.postponed import Promise
from vdprune.functions.linear_plan import LinearLayer
from vdprune.functions.postponed_linear import postpone_linear
from vdprune.functions.prior import LOG_UNIFORM
from vdprune.links.variational_dropout import VariationalDropout


class VariationalDropoutLinear(VariationalDropout, L.Linear):
    """Drop-in for ``chainer.links.Linear`` that learns one noise level per weight.

    In training the pre-activations are sampled; in evaluation (``chainer.config.train`` False) the
    layer is a plain one with the means of the weights, zero where log alpha is above the
    threshold.

    Args:
        in_size: Size of the inputs; None, or left out, to take it from the first batch.
        out_size: Size of the outputs.
        nobias: Whether to leave the bias out.
        initialW: Initializer of the means ``W``, shape (out_size, in_size).
        initial_bias: Initializer of the bias ``b``, shape (out_size,).
        p_threshold: Dropout rate p = alpha / (1 + alpha) above which a weight counts as zero.
            By default 0.95, or what follows from loga_threshold.
        loga_threshold: The same threshold as a log alpha. By default 3.0, or what follows from
            p_threshold.
        initial_log_sigma2: Where the logarithm of the weights' variances starts.
        mask_variance: Whether the variance of a cut weight is masked in training as its mean is.
        prior: Prior of the weights, ``"log-uniform"`` or ``"ard"``: see
            `vdprune.functions.kl_divergence`.

    Raises:
        ArgumentError: The two thresholds disagree, or there is no such prior.

    Source: Molchanov et al., ICML 2017, sections 4.2 to 4.4.

    >>> layer = VariationalDropoutLinear(784, 300)
    >>> layer(numpy.zeros((100, 784), "float32")).shape
    (100, 300)
    """

    masks_variance_by_default = False

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        p_threshold: float | None = None,
        loga_threshold: float | None = None,
        initial_log_sigma2: float = -10.0,
        mask_variance: bool = masks_variance_by_default,
        prior: str = LOG_UNIFORM,
    ) -> None:
        super().__init__(in_size, out_size, nobias, initialW, initial_bias)
        self.init_variational_dropout(
            p_threshold, loga_threshold, initial_log_sigma2, mask_variance, prior
        )

    def forward(self, x: Any, n_batch_axes: int = 1) -> chainer.Variable:
        """Apply the layer.

        Args:
            x: Inputs, shape (batch..., in_size).
            n_batch_axes: How many leading axes of x are batch axes.

        Returns:
            Variable of shape (batch..., out_size).
        """
        forward_pass = self._pass
        if forward_pass is not None and forward_pass.postpones and n_batch_axes == 1:
            postponed = self._postpone(x, forward_pass.promises)
            if postponed is not None:
                return postponed
        if self.W.raw_array is None:
            self._initialize_params(int(numpy.prod(x.shape[n_batch_axes:])))
        W = self.noiseless_W()
        if W is not None:
            return functions.linear_of_few(x, W, self.b, n_batch_axes, self.fixed_kept())
        self._initialize_log_sigma2()
        y_and_divergence = functions.variational_dropout_linear(
            x,
            self.W,
            self.log_sigma2,
            self.b,
            n_batch_axes,
            self.loga_threshold,
            self.mask_variance,
            alive=self.alive,
            prior=self.prior,
            noise_scale=self.noise_scale,
        )
        return self._keep_divergence(y_and_divergence)

    def _postpone(self, x: Any, promises: list[Promise]) -> chainer.Variable | None:
        """Apply the layer, but not yet; None where that can't be."""
        if self.fixed is not None or self.W.raw_array is None or not chainer.config.train:
            return None
        b = self.b
        layer = LinearLayer(
            self.W.raw_array,
            self.log_sigma2.raw_array,
            None if b is None else b.raw_array,
            self.alive,
            self.loga_threshold,
            self.mask_variance,
            self.prior,
            self.noise_scale,
        )
        parameters = (self.W, self.log_sigma2) if b is None else (self.W, self.log_sigma2, b)
        return postpone_linear(x, layer, parameters, self._keep_divergence, promises)
