"""Sums of what is reported at each step."""

from collections.abc import Sequence
from typing import Any

from chainer.backends import cuda

from vdprune import kernels


class Sums:
    """Sums of numbers, made where the numbers are and read when asked for.

    Args:
        names: What the numbers are.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._values: Any = [0.0] * len(names)

    def add(self, values: Sequence[Any]) -> None:
        """Add a number to each sum.

        Args:
            values: Numbers or arrays of shape (), one for each name, on the CPU or all on one GPU.
        """
        if not any(isinstance(value, cuda.ndarray) for value in values):
            sums = self._values if isinstance(self._values, list) else self.read().values()
            self._values = [a + float(b) for a, b in zip(sums, values, strict=True)]
            return
        if isinstance(self._values, list):
            self._values = cuda.cupy.asarray(self._values)
        kernels.cuda.add_up(values, self._values)

    def read(self) -> dict[str, float]:
        """Return the sums by name; on a GPU this waits for it."""
        return dict(zip(self._names, map(float, cuda.to_cpu(self._values)), strict=True))

    def serialize(self, serializer: Any) -> None:
        """Save the sums, or bring them back."""
        read = self.read()
        self._values = [float(serializer(f"sum_{name}", read[name])) for name in self._names]
