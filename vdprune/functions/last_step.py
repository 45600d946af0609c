"""What a network keeps from one training step to the next."""

from collections.abc import Sequence
from typing import Any

from vdprune.functions.linear_layers import LinearLayers, make_trials_of_steps
from vdprune.functions.linear_plan import LinearLayer


class LayersOfLastStep:
    """Keeps `LinearLayers` for the next step, which most often is on the same arrays."""

    def __init__(self) -> None:
        self._kept: list[LinearLayers] = []
        self._trials_of_steps = make_trials_of_steps()
        # what computed the last step, if that was all there was of it
        self.whole_network: LinearLayers | None = None

    def take(self, layers: Sequence[LinearLayer], x: Any) -> LinearLayers:
        """Return what was put here if it is of such arrays, or a new one.

        Args:
            layers: As for `LinearLayers`.
            x: Likewise.

        Returns:
            Those; nobody else gets them meanwhile.
        """
        try:
            kept: LinearLayers | None = self._kept.pop()
        except IndexError:
            kept = None
        if kept is None or not kept.begin(layers, x):
            kept = LinearLayers(layers, x, self._trials_of_steps)
        return kept

    def put(self, layers: LinearLayers) -> None:
        """Put layers here that are done with a batch."""
        self._kept[:] = [layers]

    def __reduce__(self) -> Any:
        return LayersOfLastStep, ()  # a copy has its own memory, whose addresses are others
