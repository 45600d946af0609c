"""Training steps that repeat the last one with other batches, without going through Python."""

import math
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.chain import VariationalDropoutChain
from vdprune.functions.linear_layers import Examples, LinearLayers
from vdprune.kernels import order_layout as at
from vdprune.links import InputScaling
from vdprune.objective import checked_num_train, dropped_divergence
from vdprune.training.adam import Adam, Step
from vdprune.training.batches import ArrayBatches


@dataclass(frozen=True)
class Repetition:
    """A training step that can be repeated: one of linear layers only.

    Args:
        model: The network.
        optimizer: The optimizer.
        layers: What the step's objective was computed by.
        examples: What batches are cut out of.
        step: What the optimizer did.
    """

    model: VariationalDropoutChain
    optimizer: Adam
    layers: LinearLayers
    examples: Examples
    step: Step

    def take(self, chosen: Any) -> list[dict[str, float]]:
        """Take steps, bit for bit those that the network, its optimizer and Chainer would take.

        Args:
            chosen: Numbers of each batch's examples, int64, shape (steps, batch).

        Returns:
            What the network would have reported of each. There are fewer than steps if one would have
            raised an error: it was not taken then, nor those after it, nor was their noise drawn.
        """
        if chosen.min() < 0 or chosen.max() >= len(self.examples.x):
            return []
        model, steps = self.model, len(chosen)
        kl_coefs = [model.kl_coef]
        for _ in chosen:
            kl_coefs.append(model.next_kl_coef(kl_coefs[-1]))
        schedule = numpy.empty((steps, at.SCHEDULE_FIELDS))
        num_train = checked_num_train(model)
        schedule[:, at.G_DIVERGENCE] = [kl_coef / num_train for kl_coef in kl_coefs[:steps]]
        schedule[:, at.RATE] = self.step.step_sizes(steps)
        found = self.layers.several_steps(
            self.examples, chosen, schedule, self.step.parameters, self.step.settings
        )
        self.optimizer.count_steps(len(found))
        model.iteration += len(found)
        model.kl_coef = kl_coefs[len(found)]
        return self._describe(found, kl_coefs)

    def _describe(self, found: Any, kl_coefs: list[float]) -> list[dict[str, float]]:
        """Compute what the network would have reported, as it would have."""
        model, batch, rounded = self.model, len(self.layers.x), self.layers.x.dtype.type
        num_train = checked_num_train(model)
        constant = dropped_divergence([link for _, link in model.named_variational_links()])
        reports = []
        for row, kl_coef in zip(found.tolist(), kl_coefs, strict=False):
            class_loss = row[at.CROSS_ENTROPY] / batch
            kl = (math.fsum(row[at.FOUND_BEFORE :]) + constant) / num_train
            reports.append(
                {
                    "loss": float(rounded(class_loss + kl_coef * kl)),
                    "class": float(rounded(class_loss)),
                    "kl": float(rounded(kl)),
                    "kl_coef": kl_coef,
                    "accuracy": float(rounded(row[at.RIGHT] / batch)),
                }
            )
        return reports


def find_repetition(
    model: VariationalDropoutChain, optimizer: Adam, batches: ArrayBatches, batch: Any
) -> Repetition | None:
    """Find out whether the step that was just taken can be repeated.

    Args:
        model: The network, one whose ``forward`` does the same with every batch.
        optimizer: Its optimizer.
        batches: What cut the batch out of examples and labels.
        batch: The examples of the batch.

    Returns:
        The step; None if there was more to it than linear layers, the scaling of their inputs and an
        update of all parameters.
    """
    layers, step = model.last_step.whole_network, optimizer.find_step()
    if layers is None or step is None:
        return None
    updated = set(map(tuple, step.parameters[:, :2].tolist()))
    if updated != set(layers.list_gradients()) or layers.has_given_noise:
        return None
    examples = _find_examples(model, layers.x, batch, *batches.arrays)
    return None if examples is None else Repetition(model, optimizer, layers, examples, step)


def _find_examples(model: Any, inputs: Any, batch: Any, x: Any, t: Any) -> Examples | None:
    """Find out how a batch became the layers' inputs, by doing it once more."""
    if not (_is_contiguous(x) and _is_contiguous(t) and t.ndim == 1 and t.dtype == numpy.int32):
        return None
    flat = x.reshape(len(x), -1)
    if x.dtype == inputs.dtype:
        is_same = numpy.array_equal(batch.reshape(len(batch), -1), inputs)
        return Examples(flat, t) if is_same else None
    scalings = [link for link in model.links() if isinstance(link, InputScaling)]
    if len(scalings) != 1 or x.dtype != numpy.uint8 or inputs.dtype != numpy.float32:
        return None
    (scaling,) = scalings
    if not numpy.array_equal(scaling(batch).reshape(len(batch), -1), inputs):
        return None
    return Examples(flat, t, float(scaling.scale), scaling.mean.reshape(-1))


def _is_contiguous(array: Any) -> bool:
    return type(array) is numpy.ndarray and bool(array.flags.c_contiguous)
