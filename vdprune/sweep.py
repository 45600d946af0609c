"""Error and compression of a network at the thresholds that it could be cut at."""

import itertools
import math
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.chain import VariationalDropoutChain
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.evaluation import is_at_most
from vdprune.pruning import check_knows_noise, sorted_log_alpha

_LEAST_KEPT = 1 / 5000  # share of the weights that the sparsest of the first thresholds keeps


@dataclass(frozen=True)
class SweepPoint:
    """What a network would be, cut at one threshold.

    Args:
        threshold: Log alpha above which weights are cut.
        weights: Number of weights in variational layers.
        nonzero: Number of those that are left.
        error: Share of examples that the network gets wrong, in percent.
        loss: Mean cross entropy in nats.
    """

    threshold: float
    weights: int
    nonzero: int
    error: float
    loss: float

    @property
    def compression(self) -> float | None:
        """|W| / |W != 0|; None where no weight is left."""
        return self.weights / self.nonzero if self.nonzero else None

    @property
    def sparsity(self) -> float:
        """Share of weights that are zero, 0 to 1."""
        return 1 - self.nonzero / self.weights

    def to_json(self) -> dict[str, Any]:
        """Return the point as a dictionary that JSON can hold."""
        return {
            "threshold": self.threshold,
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
            "compression": self.compression,
            "error": self.error,
            "loss": self.loss if math.isfinite(self.loss) else None,
        }


class Sweep:
    """Measures a network at a growing number of thresholds, most of them where its error changes.

    Args:
        model: The network; it is left as it was.
        split: The examples to measure it on.

    Raises:
        ArgumentError: The network has no variational layers, or was trained without noise.
    """

    def __init__(self, model: VariationalDropoutChain, split: Split) -> None:
        self._model = model
        self._split = split
        model.expand()
        self._log_alpha = sorted_log_alpha(model)
        if not self._log_alpha.size:
            raise ArgumentError(f"{type(model).__name__} has no variational layers to cut")
        check_knows_noise(model)
        self.points: list[SweepPoint] = []

    def run(
        self, threshold: float, count: int, on_point: Callable[[SweepPoint], object]
    ) -> list[SweepPoint]:
        """Measure.

        Half of the points are spread evenly over the orders of magnitude of the number of weights; the
        others halve what lies between two points, there where the error grows by the largest factor.

        Args:
            threshold: One that is to be among them.
            count: How many points to measure, if the network has that many thresholds; 3 at least.
            on_point: Called with each point when it is measured.

        Returns:
            The points, from the sparsest to the one with the most weights.
        """
        size = self._log_alpha.size
        least = max(1, int(size * _LEAST_KEPT))
        spread = numpy.geomspace(least, size, max(2, count // 2)).astype(int)
        wanted = [float(self._log_alpha[kept - 1]) for kept in dict.fromkeys(spread)]
        for each in dict.fromkeys([threshold, *wanted]):
            on_point(self._measure(each))
        while len(self.points) < count:
            between = self._find_threshold_between()
            if between is None:
                break
            on_point(self._measure(between))
        return self.points

    def narrow(
        self,
        threshold: float,
        max_increase: float,
        count: int,
        on_point: Callable[[SweepPoint], object],
    ) -> SweepPoint:
        """Look for sparser networks at hardly more error, next to the sparsest one so far.

        Args:
            threshold: See `choose_point`.
            max_increase: See `choose_point`.
            count: How many more points to measure at most.
            on_point: Called with each.

        Returns:
            What `choose_point` says of all points then.
        """
        for _ in range(count):
            place = self.points.index(choose_point(self.points, threshold, max_increase))
            between = (
                self._find_middle(self.points[place - 1], self.points[place]) if place else None
            )
            if between is None:
                break
            on_point(self._measure(between))
        return choose_point(self.points, threshold, max_increase)

    def _measure(self, threshold: float) -> SweepPoint:
        with _cut_at(self._model, threshold):
            sparsity = self._model.sparsity()
            evaluation = evaluate(self._model, self._split)
        point = SweepPoint(
            threshold, sparsity.weights, sparsity.nonzero, evaluation.error, evaluation.loss
        )
        insort(self.points, point, key=lambda point: point.threshold)
        return point

    def _find_threshold_between(self) -> float | None:
        """Halve the gap in which the error changes by the largest factor, if thresholds are in it."""
        one_example = 100 / len(self._split.x)

        def change(gap: tuple[SweepPoint, SweepPoint]) -> float:
            low, high = (max(point.error, one_example) for point in gap)
            return abs(math.log(low / high))

        for low, high in sorted(itertools.pairwise(self.points), key=change, reverse=True):
            middle = self._find_middle(low, high)
            if middle is not None:
                return middle
        return None

    def _find_middle(self, low: SweepPoint, high: SweepPoint) -> float | None:
        """Halve what is between two points, counted in orders of magnitude of weights."""
        counts = [
            int(numpy.searchsorted(self._log_alpha, point.threshold, side="right"))
            for point in (low, high)
        ]
        threshold = float(self._log_alpha[int(math.sqrt(max(1, counts[0]) * counts[1])) - 1])
        return threshold if low.threshold < threshold < high.threshold else None


def choose_point(points: list[SweepPoint], threshold: float, max_increase: float) -> SweepPoint:
    """Choose the threshold that leaves the fewest weights at hardly more error.

    Args:
        points: What a `Sweep` measured, on examples that nothing else is to be reported of.
        threshold: The one among them that errors are compared with.
        max_increase: How much more error is accepted, in percent of the examples.

    Returns:
        The point with the fewest weights whose error is at most that of `threshold` plus
        `max_increase`; of equal ones the one with the lower loss.
    """
    base = next(point.error for point in points if point.threshold == threshold)
    good = [point for point in points if is_at_most(point.error, base + max_increase)]
    return min(good, key=lambda point: (point.nonzero, point.loss))


@contextmanager
def _cut_at(model: VariationalDropoutChain, threshold: float) -> Iterator[None]:
    links = [link for _, link in model.named_variational_links()]
    before = [link.loga_threshold for link in links]
    for link in links:
        link.loga_threshold = threshold
    try:
        yield
    finally:
        for link, value in zip(links, before, strict=True):
            link.loga_threshold = value
