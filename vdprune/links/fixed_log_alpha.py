"""Training without noise, of the weights that a fixed log alpha keeps."""

from dataclasses import dataclass, replace
from typing import Any

import chainer
import numpy
from chainer import Parameter, Variable, as_array

from vdprune.errors import ArgumentError
from vdprune.functions.log_alpha import is_kept
from vdprune.kernels.constants import EPSILON, LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.links.cutting import check_expanded, set_to_zero

# Units in the last place of 1 between the threshold and the log alpha of a weight that is kept: more
# than is lost on the way through log_sigma2 and back.
_MARGIN = 128


@dataclass(frozen=True)
class Fixed:
    """What a link is trained with while its log alpha is fixed.

    Args:
        log_alpha: The log alpha of its weights.
        mask: 1 where it keeps a weight and 0 elsewhere, of the dtype of ``W``; None if it keeps all.
        rule: The update rule of ``log_sigma2`` that is disabled meanwhile, or None.
    """

    log_alpha: Any
    mask: Any
    rule: Any


class FixedLogAlpha:
    """Trait of a variational link: its log alpha can be fixed, for training without noise.

    Weights that are kept are trained as those of an ordinary layer, the others stay 0. What is saved
    meanwhile has the fixed log alpha in its ``log_sigma2``; loading ends it.
    """

    W: Parameter
    log_sigma2: Parameter
    loga_threshold: float
    fixed: Fixed | None = None  # set while the log alpha is fixed

    def fix_log_alpha(self, log_alpha: Any) -> None:
        """From the next batch on train without noise and without divergence.

        A link that is fixed already gets other values.

        Args:
            log_alpha: Log alpha of the weights, of the shape of ``W``, or one number for all. Weights
                with one above the threshold become 0 and stay so.

        Raises:
            ArgumentError: The weights have no shape yet, or another one; one of the values is NaN; or
                the link is compacted.
        """
        check_expanded(self)
        device = self.device  # type: ignore[attr-defined]
        if numpy.isscalar(log_alpha):
            log_alpha = numpy.full(self._open_shape(), log_alpha)
        shape = getattr(log_alpha, "shape", None)
        if shape is None:
            raise ArgumentError(
                f"log_alpha is a {type(log_alpha).__name__}: give an array with one number for each "
                "weight, or one number for all"
            )
        if shape != self._open_shape():
            raise ArgumentError(
                f"log_alpha has shape {shape}, W has {self.W.shape}: give one number for each "
                "weight, or one for all"
            )
        with chainer.using_device(device):
            self._fix(device.xp, device.send(as_array(log_alpha)).astype(self.W.dtype))

    def _open_shape(self) -> tuple[int, ...]:
        """Return the shape of ``W``; refuse weights without one."""
        return self.log_alpha().shape  # type: ignore[attr-defined]

    def _fix(self, xp: Any, values: Any) -> None:
        if xp.isnan(values).any():
            raise ArgumentError(
                "log_alpha is NaN for some weights: give numbers, above the threshold for weights to cut"
            )
        values = xp.clip(values, LOG_ALPHA_MIN, LOG_ALPHA_MAX)
        kept = is_kept(values, self.loga_threshold)
        most = self.loga_threshold - _MARGIN * float(numpy.finfo(values.dtype).eps)
        values = xp.where(kept, xp.minimum(values, most), LOG_ALPHA_MAX)
        keeps_all = bool(kept.all())
        if not keeps_all:
            set_to_zero(self, ~kept)
        self._enable_updates()
        rule = self.log_sigma2.update_rule
        rule = rule if rule is not None and rule.enabled else None
        if rule is not None:
            rule.enabled = False
        dtype = self.W.dtype
        self.fixed = Fixed(values.astype(dtype), None if keeps_all else kept.astype(dtype), rule)

    def release_log_alpha(self) -> None:
        """From the next batch on train with noise again, from the log alpha that was fixed."""
        self._settle()
        self._enable_updates()
        self.fixed = None

    def _enable_updates(self) -> None:
        if self.fixed is not None and self.fixed.rule is not None:
            self.fixed.rule.enabled = True

    def _settle(self) -> None:
        """Give ``log_sigma2`` the values from which the fixed log alpha follows."""
        if self.fixed is None:
            return
        device = self.device  # type: ignore[attr-defined]
        with chainer.using_device(device):
            W = self.W.array
            log_sigma2 = self.fixed.log_alpha + device.xp.log(W * W + EPSILON)
            if self.fixed.mask is not None:
                # that of a weight of 0 is 0, as `cut` has it: so much above the threshold that it stays
                high = device.xp.maximum(log_sigma2, 0)
                log_sigma2 = device.xp.where(self.fixed.mask > 0, log_sigma2, high)
            self.log_sigma2.array[...] = log_sigma2

    def fixed_W(self) -> Variable | None:
        """The weights that are trained while the log alpha is fixed.

        Returns:
            Variable of the shape of ``W``; None if it is not fixed.
        """
        if self.fixed is None:
            return None
        return self.W if self.fixed.mask is None else self.W * self.fixed.mask

    def fixed_kept(self) -> Any:
        """Which weights are trained while the log alpha is fixed, for functions that multiply no others.

        Returns:
            Array of bool, shape of ``W``; None for all, if it is not fixed, and on a GPU, where no
            function asks.
        """
        mask = None if self.fixed is None else self.fixed.mask
        return mask > 0 if isinstance(mask, numpy.ndarray) else None

    def device_resident_accept(self, visitor: Any) -> None:
        """Move the link as Chainer does, and what is fixed."""
        super().device_resident_accept(visitor)  # type: ignore[misc]
        if self.fixed is not None:
            mask = self.fixed.mask
            self.fixed = replace(
                self.fixed,
                log_alpha=visitor.visit_array(self.fixed.log_alpha),
                mask=mask if mask is None else visitor.visit_array(mask),
            )

    def serialize(self, serializer: Any) -> None:
        """Save the link with the fixed log alpha in its ``log_sigma2``; or load it, fixed no more."""
        if isinstance(serializer, chainer.Deserializer):
            self.release_log_alpha()
        self._settle()
        super().serialize(serializer)  # type: ignore[misc]
