"""A pruned network that is ready to run."""

import math
from functools import partial
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.formats.compacting import compact_weights
from vdprune.kernels import inference
from vdprune.runtime.choice import Choice, choose_ways
from vdprune.runtime.layers import Layers, make_layers
from vdprune.runtime.steps import Program, make_program
from vdprune.threads import Team, get_team_of

_ARENA_NUMBERS = 2**18  # values of one block: a megabyte, which second caches hold
_FLOAT32, _UINT8 = numpy.dtype("f4"), numpy.dtype("u1")
_MOST_EXAMPLES, _LEAST_EXAMPLES = 64, 8  # in a block


class Network:
    """Runs a network on the CPU; threads may share it.

    Args:
        layers: The network.
        input_shape: Shape of one example.
        team: The threads that share the examples.
        way: How layers are run, ``sparse`` or ``dense``; None for what is faster for each.
    """

    def __init__(
        self, layers: Layers, input_shape: tuple[int, ...], team: Team, way: str | None = None
    ) -> None:
        self.input_shape = input_shape
        self.ends_in_softmax = layers.layers[-1].kind == "softmax"
        self._features = math.prod(input_shape)
        self._block = _choose_block(layers)
        self._team = team
        self._one, self.choices_for_one = self._prepare(layers, 1, way)
        self._many, self.choices_for_many = self._prepare(layers, self._block, way)

    def _prepare(
        self, layers: Layers, examples: int, way: str | None
    ) -> tuple[Program, list[Choice]]:
        ((ways, choices),) = self._team.run([partial(choose_ways, layers, examples, way)])
        return make_program(layers, ways, examples), choices

    def predict(self, x: Any) -> numpy.ndarray:
        """Tell the likeliest class of each example.

        Args:
            x: Examples, shape (batch, *input_shape), any numeric dtype, as the network was trained on:
                what it does to its inputs is a part of it.

        Returns:
            Class numbers, shape (batch,), int64.

        Raises:
            ArgumentError: The examples have another shape, or are not numbers.
        """
        return self.logits(x).argmax(axis=1)

    def predict_proba(self, x: Any) -> numpy.ndarray:
        """Tell how likely each class is.

        Args:
            x: As for `predict`.

        Returns:
            Probabilities, shape (batch, classes), float32.

        Raises:
            ArgumentError: As for `predict`.
        """
        y = self.logits(x)
        if self.ends_in_softmax:
            return y
        inference.to_probabilities(y)
        return y

    def logits(self, x: Any) -> numpy.ndarray:
        """Compute what the network itself computes.

        Args:
            x: As for `predict`.

        Returns:
            Shape (batch, outputs), float32.

        Raises:
            ArgumentError: As for `predict`.
        """
        x = self._check(x)
        count = len(x)
        program = self._one if count == 1 else self._many
        result = numpy.empty((count, program.outputs), _FLOAT32)
        if count <= self._block and not program.has_products:
            # threads, of the BLAS library, too, take longer to be told than a small network
            program.run(x, result)
        else:
            blocks = -(-count // self._block)
            threads = min(self._team.size, blocks)
            ends = [self._block * (blocks * i // threads) for i in range(threads)] + [count]
            shares = [slice(*ends[i : i + 2]) for i in range(threads)]
            tasks = [partial(program.run, x[share], result[share]) for share in shares]
            self._team.run(tasks, use_blas=program.has_products)
        return result

    def describe(self) -> str:
        """Tell which layers are run sparse and which dense, and what was measured.

        Returns:
            A table: shares of what is left without dead units, and times for one example and for as many
            as go through all layers at a time.
        """
        lines = [f"{'layer':<16} {'nonzero':>8}  {'one example':<44} {self._block} examples"]
        for one, many in zip(self.choices_for_one, self.choices_for_many, strict=True):
            lines.append(
                f"{one.layer:<16} {100 * one.density:6.2f} %  {_tell(one):<44} {_tell(many)}"
            )
        lines.append("(nonzero: share of the weights between units that are not dead)")
        return "\n".join(lines)

    def _check(self, x: Any) -> numpy.ndarray:
        x = numpy.asarray(x)
        dtype = x.dtype
        is_taken = dtype in (_FLOAT32, _UINT8)
        if x.shape[1:] != self.input_shape or not (is_taken or dtype.kind in "biuf"):
            hint = "; one example alone is x[None]" if x.shape == self.input_shape else ""
            raise ArgumentError(
                f"the examples have shape {x.shape} and dtype {x.dtype}: the network takes numbers of "
                f"shape (batch, {', '.join(map(str, self.input_shape))}){hint}"
            )
        if not (is_taken and x.flags.c_contiguous):
            x = x.astype(_UINT8 if dtype == _UINT8 else _FLOAT32, "C")
        return x.reshape(-1, self._features)


def make_network(weights: Any, threads: int, way: str | None = None) -> Network:
    """Make a network of what a weight file holds.

    Args:
        weights: The file's `Weights`.
        threads: How many threads share the examples.
        way: How layers are run: ``dense``, as if there were no zeros; or without dead units, ``sparse``
            or None for what is faster for each.

    Returns:
        The network.

    Raises:
        ArgumentError: It does what the runtime can't do, or so many threads can't be had.
    """
    team = get_team_of(threads)
    if way != "dense":
        weights = compact_weights(weights.in_float32())
    layers = make_layers(weights.graph, {**weights.others, **weights.weights})
    return Network(layers, weights.graph.input_shape, team, way)


def _choose_block(layers: Layers) -> int:
    """Choose how many examples go through all layers at a time: so that values stay in cache."""
    room = make_program(layers, ["sparse"] * len(layers.layers), 1).room
    examples = _MOST_EXAMPLES
    while examples > _LEAST_EXAMPLES and examples * room > _ARENA_NUMBERS:
        examples //= 2
    return examples


def _tell(choice: Choice) -> str:
    if choice.sparse_seconds is None or choice.dense_seconds is None:
        return f"{choice.way}, not measured"
    times = f"{1e6 * choice.sparse_seconds:.1f} us, dense {1e6 * choice.dense_seconds:.1f} us"
    return f"{choice.way} (sparse {times})"
