"""What a link gains when its weights become noisy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import chainer
import chainer.functions as F
from chainer import Parameter, Variable, as_array, initializers

from vdprune import functions
from vdprune.chainer_speed.postponed import Promise, settle
from vdprune.errors import ArgumentError
from vdprune.functions.prior import LOG_UNIFORM, k1_of
from vdprune.functions.variational_layer import Alive
from vdprune.links.fixed_log_alpha import FixedLogAlpha
from vdprune.threshold import resolve_threshold


@dataclass(frozen=True)
class Whole:
    """A compacted link's arrays as they were; what was dropped stays as it is in them.

    Args:
        alive: What was not dropped.
        arrays: Parameter arrays by name.
        states: Arrays of the optimizer's state by parameter name and key.
        dropped_divergence: KL divergence of the weights that were dropped, summed.
        dropped_p: Their dropout rates, summed.
    """

    alive: Alive
    arrays: dict[str, Any]
    states: dict[tuple[str, str], Any]
    dropped_divergence: float
    dropped_p: float


class VariationalDropout(FixedLogAlpha):
    """Trait of a link with a weight ``W``: the parameter ``log_sigma2`` and what follows from it.

    Mixed in before a Chainer link. `init_variational_dropout` is called once after the link's own
    initializer. Its noise is multiplied by ``noise_scale``, which may be set between training steps.
    """

    p_threshold: float
    masks_variance_by_default: bool  # as the authors do
    mask_variance: bool
    prior: str
    noise_scale: float = 1.0
    whole: Whole | None = None  # set while the link is compacted: see vdprune.links.compaction
    _pass: "ForwardPass | None" = None

    def init_variational_dropout(
        self,
        p_threshold: float | None,
        loga_threshold: float | None,
        initial_log_sigma2: float,
        mask_variance: bool,
        prior: str = LOG_UNIFORM,
    ) -> None:
        """Register ``log_sigma2``, shaped like ``W`` once ``W`` has a shape.

        Args:
            p_threshold: Threshold as a dropout rate, or None.
            loga_threshold: Threshold as a log alpha, or None.
            initial_log_sigma2: Where every log sigma^2 starts.
            mask_variance: Whether the variance of a cut weight is masked in training.
            prior: Prior of the weights: see `vdprune.functions.kl_divergence`.

        Raises:
            ArgumentError: The two thresholds disagree, or there is no such prior.
        """
        self.p_threshold, self.loga_threshold = resolve_threshold(p_threshold, loga_threshold)
        self.mask_variance = mask_variance
        k1_of(prior)  # refuses others
        self.prior = prior
        dtype = getattr(self.W.initializer if self.W.array is None else self.W, "dtype", None)
        with self.init_scope():  # type: ignore[attr-defined]
            self.log_sigma2 = Parameter(initializers.Constant(initial_log_sigma2, dtype))
        self.log_sigma2.to_device(self.device)  # type: ignore[attr-defined]
        if self.W.array is not None:
            self.log_sigma2.initialize(self.W.shape)

    def _initialize_params(self, in_size: int) -> None:
        super()._initialize_params(in_size)  # type: ignore[misc]
        if hasattr(self, "log_sigma2"):
            self.log_sigma2.initialize(self.W.shape)

    def _initialize_log_sigma2(self) -> None:
        """Give it the shape of weights that came from elsewhere, as from a file of a plain link."""
        if self.log_sigma2.raw_array is None:
            self.log_sigma2.initialize(self.W.shape)

    def log_alpha(self) -> Variable:
        """Log alpha of the weights; a constant while it is fixed.

        Returns:
            Variable of the shape and dtype of ``W``.

        Raises:
            ArgumentError: The weights have no shape yet, or another one than ``log_sigma2``.
        """
        if self.W.array is None:
            raise ArgumentError(
                f"{type(self).__name__} has no weights yet: its input size was left open, so call it on "
                "a batch, or give the size, before it is pruned, exported or asked for its log alpha"
            )
        if self.fixed is not None:
            return Variable(self.fixed.log_alpha, requires_grad=False)
        self._initialize_log_sigma2()
        return functions.log_alpha(self.W, self.log_sigma2)

    def kl_divergence(self) -> Variable:
        """KL(q || p) of the link's weights, summed; while it is compacted, of those that are left.

        Returns:
            Variable of shape (), in nats; a constant 0 while log alpha is fixed.
        """
        if self.fixed is not None:
            with chainer.using_device(self.device):  # type: ignore[attr-defined]
                zero = self.device.xp.zeros((), self.W.dtype)  # type: ignore[attr-defined]
            return Variable(zero, requires_grad=False)
        for divergence in self._pass.divergences.get(id(self), ()) if self._pass else ():
            # a pass without a graph, as in F.forget, leaves one that has no gradient
            if divergence.creator_node is not None or not chainer.config.enable_backprop:
                return divergence
        return functions.kl_divergence(self.log_alpha(), self.prior)

    @property
    def alive(self) -> Alive | None:
        """Which outputs and inputs are left while the link is compacted, else None."""
        return self.whole.alive if self.whole else None

    def whole_shape(self) -> Any:
        """Shape of ``W``, its whole one while the link is compacted."""
        return tuple((self.whole.arrays["W"] if self.whole else self.W).shape)

    def sum_of_p(self) -> float:
        """Sum of the weights' dropout rates p = alpha / (1 + alpha)."""
        dropped = self.whole.dropped_p if self.whole else 0.0
        return float(F.sigmoid(self.log_alpha().array).array.sum()) + dropped

    def kept(self) -> Any:
        """Which weights survive the threshold; while the link is compacted, which of those left.

        Returns:
            Array of bool, shape of ``W``.
        """
        return functions.is_kept(as_array(self.log_alpha()), self.loga_threshold)

    def masked_W(self) -> Variable:
        """The weights as evaluation uses them: the means, zero above the threshold.

        Returns:
            Variable of the dtype of ``W`` and of its shape, its whole one while the link is compacted.
        """
        masked_W = self.W * self.kept().astype(self.W.dtype)
        if self.whole is None:
            return masked_W
        xp, alive = self.device.xp, self.whole.alive  # type: ignore[attr-defined]
        whole_W = xp.zeros_like(self.whole.arrays["W"])
        whole_W[xp.asarray(alive.outputs)[:, None], xp.asarray(alive.inputs)] = masked_W.array
        return Variable(whole_W)

    def noiseless_W(self) -> Variable | None:
        """The weights of a forward pass without noise, as in evaluation; None for one with noise."""
        return self.fixed_W() if chainer.config.train else self.masked_W()

    def _keep_divergence(self, y_and_divergence: tuple[Variable, Variable]) -> Variable:
        """Return the first of the two; while a `ForwardPass` is remembered keep the second there."""
        y, divergence = y_and_divergence
        if self._pass is not None:
            self._pass.divergences.setdefault(id(self), []).append(divergence)
        return y


class ForwardPass:
    """Context in which links remember the KL divergence that their forward pass computes on its way.

    The parameters must not change meanwhile.

    Args:
        links: The links.
        postpones: Whether linear links may return what is computed when it is asked for, or at the end.
    """

    def __init__(self, links: Iterable[VariationalDropout], postpones: bool = False) -> None:
        self._links = list(links)
        self.postpones = postpones
        self.promises: list[Promise] = []
        self.divergences: dict[int, list[Variable]] = {}

    def __enter__(self) -> "ForwardPass":
        for link in self._links:
            vars(link)["_pass"] = self  # a link looks closely at what its attributes are set to
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        try:
            if kind is None:
                settle(self.promises)
        finally:
            self.promises.clear()  # they know of the list: without end they would keep all activations
            for link in self._links:
                vars(link)["_pass"] = None
