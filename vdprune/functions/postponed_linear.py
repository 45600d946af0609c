"""A linear layer with noisy weights whose draws wait for what comes next."""

import math
from collections.abc import Callable
from typing import Any

import chainer
import chainer.functions as F
from chainer import Variable, config

from vdprune.chainer_speed.postponed import Postponed, Promise
from vdprune.functions.choice import choose_fused
from vdprune.functions.linear_layers import LinearLayer
from vdprune.functions.prior import k1_of
from vdprune.functions.variational_dropout_linear import VariationalDropoutLinearFunction
from vdprune.functions.variational_layer import Alive, new_key


class PostponedLinear(Promise):
    """The draws of a layer.

    Args:
        x: Inputs: an array or Variable of shape (batch, inputs), or a promise of one.
        parameters: Variables W, log_sigma2 and, with biases, b.
        settings: Threshold, whether variances are masked, noise, what is alive, prior and scale of the
            noise: those of `VariationalDropoutLinearFunction`.
        batch: How many examples there are.
        keep: Called with the draws and the KL divergence when they are computed; returns the draws.
    """

    def __init__(
        self,
        x: Any,
        parameters: tuple[Variable, ...],
        settings: tuple[Any, ...],
        batch: int,
        keep: Callable[[tuple[Variable, Variable]], Variable],
    ) -> None:
        super().__init__(x if isinstance(x, Promise) else None)
        self.x = None if isinstance(x, Promise) else x
        self.parameters, self._settings, self._keep = parameters, settings, keep
        self.key = new_key()
        alive = settings[3]
        self.like = parameters[0].raw_array
        self.shape = batch, len(self.like) if alive is None else alive.shape[0]

    def compute(self) -> Variable:
        """Draw, as if there had been no waiting."""
        function = VariationalDropoutLinearFunction(*self._settings)
        function.key = self.key
        x = self.x if self.source is None else self.source.variable()
        y, divergence = function.apply((x, *self.parameters))
        return self._keep((y, divergence))

    def rectified(self) -> Postponed:
        """Return what ReLU makes of them."""
        return PostponedRelu(self).postpone()

    def layer(self, has_relu: bool) -> LinearLayer:
        """Describe the layer for `vdprune.functions.linear_layers.LinearLayers`."""
        threshold, mask_variance, _, alive, prior, noise_scale = self._settings
        W, log_sigma2, *b = [parameter.array for parameter in self.parameters]
        return LinearLayer(
            W,
            log_sigma2,
            b[0] if b else None,
            alive,
            threshold,
            mask_variance,
            k1_of(prior),
            noise_scale,
            self.key,
            has_relu,
        )


class PostponedRelu(Promise):
    """ReLU of a layer's draws.

    Args:
        source: The draws.
    """

    source: PostponedLinear

    def __init__(self, source: PostponedLinear) -> None:
        super().__init__(source)
        self.like, self.shape = source.like, source.shape

    def compute(self) -> Variable:
        """Compute it."""
        return F.relu(self.source.variable())


def _flat(x: Any) -> Any:
    shape = len(x), math.prod(x.shape[1:])
    return F.reshape(x, shape) if isinstance(x, Variable) else x.reshape(shape)


def postpone_linear(
    x: Any,
    W: Any,
    log_sigma2: Any,
    b: Any,
    threshold: float,
    mask_variance: bool,
    alive: Alive | None,
    prior: str,
    noise_scale: float,
    keep: Callable[[tuple[Variable, Variable]], Variable],
) -> Postponed | None:
    """Apply a linear layer whose weights are drawn anew for each example, but not yet.

    Args:
        x: Inputs: see `vdprune.functions.variational_dropout_linear`, as for all but the last.
        W: Means theta of the weights.
        log_sigma2: Logarithms of their variances.
        b: Biases, or None.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        alive: What the weights are for.
        prior: Prior of the weights.
        noise_scale: What standard normal draws are multiplied by.
        keep: See `PostponedLinear`.

    Returns:
        The pre-activations, or None where they can't wait: on a GPU, in other dtypes, where somebody
        watches functions at work, and of inputs that do not fit.
    """
    if not config.enable_backprop or config.debug or chainer.get_function_hooks():
        return None
    parameters = (W, log_sigma2) if b is None else (W, log_sigma2, b)
    arrays = [parameter.raw_array for parameter in parameters]
    outputs, inputs = W.shape if alive is None else alive.shape
    if isinstance(x, Postponed):
        source: Any = x.promise
        batch, width = source.shape
        arrays.append(source.like)
    else:
        source = x if x.ndim < 3 else _flat(x)
        arrays.append(source.raw_array if isinstance(source, Variable) else source)
        if source.ndim < 2:
            return None
        batch, width = source.shape
    fits = (
        width == inputs
        and batch > 0
        and log_sigma2.shape == W.shape
        and (b is None or b.shape == (outputs,))
        and choose_fused(*arrays) == "cpu"
        and all(array.flags.carray for array in arrays[: len(parameters)])
    )
    if not fits:
        return None
    settings = threshold, mask_variance, None, alive, prior, noise_scale
    return PostponedLinear(source, parameters, settings, batch, keep).postpone()
