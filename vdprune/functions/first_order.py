"""Functions whose gradients are computed on arrays, and so can't be differentiated again."""

from typing import Any

import chainer
from chainer import FunctionNode, Variable

from vdprune.chainer_speed.graph import plain_variable
from vdprune.errors import ArgumentError


class FirstOrderFunction(FunctionNode):
    """A function whose `backward_arrays` maps arrays to arrays.

    Gradients made of Variables would cost a graph node for each operation in them, which in
    a layer of a few hundred units takes several times as long as the numbers themselves.
    """

    def backward(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Variable | None, ...]
    ) -> tuple[Variable | None, ...]:
        """Compute the gradients of the inputs.

        Args:
            indexes: Which inputs' gradients are wanted.
            grad_outputs: Gradients of the outputs, None where there is none.

        Returns:
            The wanted gradients.

        Raises:
            ArgumentError: The gradients are to be differentiated in their turn.
        """
        if chainer.config.enable_backprop:
            raise ArgumentError(
                f"{self.label} can't be differentiated twice: call backward or chainer.grad "
                "without enable_double_backprop"
            )
        arrays = self.backward_arrays(
            indexes, tuple(None if g is None else g.array for g in grad_outputs)
        )
        return tuple([None if array is None else plain_variable(array) for array in arrays])

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Compute the gradients on arrays.

        Args:
            indexes: Which inputs' gradients are wanted.
            grad_outputs: Gradients of the outputs, None where there is none.

        Returns:
            One gradient for each index.
        """
        raise NotImplementedError
