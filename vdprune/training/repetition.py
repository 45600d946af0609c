"""Training steps that repeat the last one with other batches, without going through Python."""

import math
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.chain import VariationalDropoutChain
from vdprune.functions.linear_inputs import Batches
from vdprune.functions.linear_layers import LinearLayers
from vdprune.functions.linear_objective import mixed_loss
from vdprune.kernels import order_layout as at
from vdprune.links import InputScaling
from vdprune.objective import checked_num_train, dropped_divergence
from vdprune.training.adam import Adam, Step
from vdprune.training.augmented import WarpedBatches
from vdprune.training.batches import ArrayBatches


@dataclass(frozen=True)
class Repetition:
    """A training step that can be repeated: one of linear layers only.

    Args:
        model: The network.
        optimizer: The optimizer.
        layers: What the step's objective was computed by.
        batches: What cuts batches out of examples and labels.
        scaling: What scales examples; None if nothing does.
        step: What the optimizer did.
    """

    model: VariationalDropoutChain
    optimizer: Adam
    layers: LinearLayers
    batches: ArrayBatches | WarpedBatches
    scaling: InputScaling | None
    step: Step

    def take(self, chosen: Any) -> list[dict[str, float]]:
        """Take steps, bit for bit those that the network, its optimizer and Chainer would take.

        Args:
            chosen: Numbers of each batch's examples, int64, shape (steps, batch).

        Returns:
            What the network would have reported of each. There are fewer than steps if one would have
            raised an error: it was not taken then, nor those after it, nor was anything drawn for them.
        """
        if chosen.min() < 0 or chosen.max() >= self.batches.count_rows():
            return []
        model, steps, num_train = self.model, len(chosen), checked_num_train(self.model)
        kl_coefs = [model.kl_coef]
        for _ in chosen:
            kl_coefs.append(model.next_kl_coef(kl_coefs[-1]))
        schedule = numpy.empty((steps, at.SCHEDULE_FIELDS))
        schedule[:, at.G_DIVERGENCE] = [kl_coef / num_train for kl_coef in kl_coefs[:steps]]
        schedule[:, at.RATE] = self.step.step_sizes(steps)
        state = numpy.random.get_state()
        found = self.layers.several_steps(
            self._draw(chosen), schedule, self.step.parameters, self.step.settings
        )
        if len(found) < steps:
            numpy.random.set_state(state)
            self._draw(chosen[: len(found)])
        self.optimizer.count_steps(len(found))
        model.iteration += len(found)
        model.kl_coef = kl_coefs[len(found)]
        return self._describe(found, kl_coefs)

    def _draw(self, chosen: Any) -> Batches:
        """Draw, step by step, what is random in a batch and then the keys of the noise."""
        rows, keys = [], []
        for numbers in chosen:
            rows.append(self.batches.find_rows(numbers))
            keys.append(numpy.random.random_sample((self.layers.count, 2)) * 2**32)
        _, t, logits = self.batches.list_sources()
        scaling = self.scaling
        return Batches(
            numpy.array([each.examples for each in rows], numpy.int64),
            chosen,
            t,
            numpy.array([each.logits for each in rows], numpy.int64) if logits else None,
            numpy.array(keys).astype(numpy.int64),
            1.0 if scaling is None else float(scaling.scale),
            None if scaling is None else scaling.mean.reshape(-1),
        )

    def _describe(self, found: Any, kl_coefs: list[float]) -> list[dict[str, float]]:
        """Compute what the network would have reported, as it would have."""
        model, batch, rounded = self.model, len(self.layers.x), self.layers.x.dtype.type
        num_train, lesson = checked_num_train(model), self.layers.lesson
        constant = dropped_divergence([link for _, link in model.named_variational_links()])
        reports = []
        for row, kl_coef in zip(found.tolist(), kl_coefs, strict=False):
            class_loss, from_teacher = row[at.CROSS_ENTROPY] / batch, row[at.DISTILLATION] / batch
            kl = (math.fsum(row[at.FOUND_BEFORE :]) + constant) / num_train
            loss = mixed_loss(class_loss, from_teacher, lesson) + kl_coef * kl
            reports.append(
                {
                    "loss": float(rounded(loss)),
                    "class": float(rounded(class_loss)),
                    "kl": float(rounded(kl)),
                    "kl_coef": kl_coef,
                    "accuracy": float(rounded(row[at.RIGHT] / batch)),
                }
            )
        return reports


def find_repetition(
    model: VariationalDropoutChain,
    optimizer: Adam,
    batches: ArrayBatches | WarpedBatches,
    batch: Any,
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
    examples, t, logits = batches.list_sources()
    dtype, is_taught = layers.x.dtype, layers.lesson is not None
    fits = (
        all(map(_is_contiguous, (*examples, t, *logits)))
        and (t.ndim, t.dtype) == (1, numpy.int32)
        and bool(logits) == is_taught
        and all(each.dtype == dtype for each in logits)
    )
    if not fits:
        return None
    flat = batch.reshape(len(batch), -1)
    if flat.dtype == dtype:
        is_same = numpy.array_equal(flat, layers.x)
        return Repetition(model, optimizer, layers, batches, None, step) if is_same else None
    scalings = [link for link in model.links() if isinstance(link, InputScaling)]
    if len(scalings) != 1 or flat.dtype != numpy.uint8 or dtype != numpy.float32:
        return None
    scaled = scalings[0](batch).reshape(flat.shape)
    is_same = numpy.array_equal(scaled, layers.x)
    return Repetition(model, optimizer, layers, batches, scalings[0], step) if is_same else None


def _is_contiguous(array: Any) -> bool:
    return type(array) is numpy.ndarray and bool(array.flags.c_contiguous)
