"""What is done to the inputs, as a part of the model."""

from typing import Any

import chainer.functions as F
import numpy
from chainer import Link, Variable

from vdprune import kernels
from vdprune.errors import ArgumentError


class InputScaling(Link):
    """Multiplies inputs by a number and takes the mean training example away from them.

    The number and the mean are saved and exported with the model, so that a trained model takes raw
    data. A new link leaves its inputs as they are.

    Args:
        shape: Shape of one example.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.add_persistent("scale", 1.0)
        self.add_persistent("mean", numpy.zeros(shape, numpy.float32))

    def fit(self, x: Any, scale: float) -> None:
        """Set the number, and the mean of some examples.

        Args:
            x: Training examples, shape (n, *shape), any numeric dtype.
            scale: The number that inputs are multiplied by.
        """
        self.scale = scale
        mean = x.mean(axis=0, dtype=numpy.float64) * scale
        self.mean[...] = self.device.xp.asarray(mean.astype(numpy.float32))

    def forward(self, x: Any) -> Any:
        """Scale a batch.

        Args:
            x: Inputs, shape (batch, *shape), any numeric dtype.

        Returns:
            Array of float32, same shape; a Variable if x is one.

        Raises:
            ArgumentError: The examples have another shape.
        """
        if x.shape[1:] != self.mean.shape:
            raise ArgumentError(
                f"examples have shape {x.shape[1:]}, the model was made for {self.mean.shape}: "
                "give it data of that shape"
            )
        if isinstance(x, Variable):
            return x * self.scale - F.broadcast_to(self.mean, x.shape)
        if isinstance(x, numpy.ndarray) and x.dtype == numpy.uint8 and x.flags.c_contiguous:
            y = numpy.empty(x.shape, numpy.float32)
            flat_x, flat_y = (array.reshape(len(x), self.mean.size) for array in (x, y))
            kernels.cpu.scale(flat_x, self.scale, self.mean.reshape(-1), flat_y)
            return y
        if not isinstance(x, numpy.ndarray):
            return kernels.cuda.scale(x, self.scale, self.mean)
        y = numpy.multiply(x, numpy.float32(self.scale), dtype=numpy.float32)
        y -= self.mean
        return y
