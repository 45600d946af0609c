"""What a link gains when its weights become noisy."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from chainer import Parameter, Variable, as_array, initializers

from vdprune import functions
from vdprune.errors import ArgumentError
from vdprune.links.threshold import resolve_threshold


class VariationalDropout:
    """Trait of a link with a weight ``W``: the parameter ``log_sigma2`` and what follows from it.

    Mixed in before a Chainer link. `init_variational_dropout` is called once after the link's own
    initializer.
    """

    W: Parameter
    log_sigma2: Parameter
    p_threshold: float
    loga_threshold: float
    mask_variance: bool
    _shared_log_alpha: list[Variable] | None = None

    def init_variational_dropout(
        self,
        p_threshold: float | None,
        loga_threshold: float | None,
        initial_log_sigma2: float,
        mask_variance: bool,
    ) -> None:
        """Register ``log_sigma2``, shaped like ``W`` once ``W`` has a shape.

        Args:
            p_threshold: Threshold as a dropout rate, or None.
            loga_threshold: Threshold as a log alpha, or None.
            initial_log_sigma2: Where every log sigma^2 starts.
            mask_variance: Whether the variance of a cut weight is masked in training.

        Raises:
            ArgumentError: The two thresholds disagree.
        """
        self.p_threshold, self.loga_threshold = resolve_threshold(p_threshold, loga_threshold)
        self.mask_variance = mask_variance
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

    def log_alpha(self) -> Variable:
        """Log alpha of the weights.

        Returns:
            Variable of the shape and dtype of ``W``.

        Raises:
            ArgumentError: The weights have no shape yet, or another one than ``log_sigma2``.
        """
        if self.W.array is None:
            raise ArgumentError(
                f"{type(self).__name__} has no weights yet: its input size was left open, so call "
                "it on a batch, or give the size, before asking for its log alpha"
            )
        if self.log_sigma2.array is None:
            self.log_sigma2.initialize(self.W.shape)
        if self._shared_log_alpha is None:
            return functions.log_alpha(self.W, self.log_sigma2)
        if not self._shared_log_alpha:
            self._shared_log_alpha.append(functions.log_alpha(self.W, self.log_sigma2))
        return self._shared_log_alpha[0]

    def kl_divergence(self) -> Variable:
        """KL(q || p) of the link's weights, summed.

        Returns:
            Variable of shape (), in nats.
        """
        return functions.kl_divergence(self.log_alpha())

    def kept(self) -> Any:
        """Which weights survive the threshold.

        Returns:
            Array of bool, shape of ``W``.
        """
        return functions.is_kept(as_array(self.log_alpha()), self.loga_threshold)

    def masked_W(self) -> Variable:
        """The weights as evaluation uses them: the means, zero above the threshold.

        Returns:
            Variable of the shape and dtype of ``W``.
        """
        return self.W * self.kept().astype(self.W.dtype)


@contextlib.contextmanager
def sharing_log_alpha(links: Iterable[VariationalDropout]) -> Iterator[None]:
    """Compute each link's log alpha once for all that is done in the context.

    The parameters must not change meanwhile.

    Args:
        links: The links that are to share.
    """
    links = list(links)
    for link in links:
        link._shared_log_alpha = []
    try:
        yield
    finally:
        for link in links:
            link._shared_log_alpha = None
