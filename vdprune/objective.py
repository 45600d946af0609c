"""What the training of a chain minimises."""

from dataclasses import dataclass
from typing import Any

from chainer import Variable

from vdprune.chainer_speed.postponed import Postponed, Promise
from vdprune.errors import ArgumentError
from vdprune.functions import cross_entropy, distillation, joint_objective
from vdprune.functions.last_step import LayersOfLastStep
from vdprune.functions.linear_inputs import Lesson
from vdprune.functions.linear_objective import (
    Objective,
    find_layers,
    linear_objective,
    mixed_loss,
)


@dataclass(frozen=True)
class Distillation:
    """How much a network listens to a teacher, and how softly.

    The loss of the data is (1 - weight) * cross entropy + weight * T^2 * KL(teacher || network), the two
    distributions at temperature T.

    Args:
        temperature: T, above 0.
        weight: The teacher's share, 0 to 1.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
    """

    temperature: float = 3.0
    weight: float = 0.7


def compute_objective(
    chain: Any, x: Any, t: Any, teacher_logits: Any, links: list[Any], last_step: LayersOfLastStep
) -> Objective:
    """Compute the joint objective of a batch.

    Where the network ends in linear layers that wait for what comes, they are computed with it, and its
    gradients at once.

    Args:
        chain: The network, a `vdprune.VariationalDropoutChain`.
        x: The batch, what it takes.
        t: Labels.
        teacher_logits: What a teacher says of the batch; None without one.
        links: The network's variational layers.
        last_step: Where the network keeps what serves its next step.

    Returns:
        The objective and its parts.

    Raises:
        ArgumentError: The network's ``num_train`` is not set, or ``distillation`` where there is a
            teacher.
    """
    last_step.whole_network = None
    y = chain(x)
    if isinstance(y, Postponed):
        promise = y.promise
        del y  # nobody is to be able to ask for what is left out
        lesson = _make_lesson(chain, teacher_logits)
        objective = _compute_at_once(chain, promise, t, lesson, links, last_step)
        if objective is not None:
            return objective
        y = promise.variable()
    class_loss, accuracy = cross_entropy(y, t)
    loss = _listen(chain, class_loss, y, teacher_logits)
    if not links:
        return Objective(loss, class_loss.array, 0.0, accuracy)
    divergences = [link.kl_divergence() for link in links]
    loss, kl = joint_objective(
        loss, divergences, chain.kl_coef, checked_num_train(chain), dropped_divergence(links)
    )
    return Objective(loss, class_loss.array, kl.array, accuracy)


def _compute_at_once(
    chain: Any,
    promise: Promise,
    t: Any,
    lesson: Lesson | None,
    links: list[Any],
    last_step: LayersOfLastStep,
) -> Objective | None:
    layers = find_layers(promise)
    if layers is None:
        return None
    own = [id(layer.parameters[0]) for layer in layers]
    others = [link.kl_divergence() for link in links if id(link.W) not in own]
    if len(others) + len(own) != len(links):  # a layer is passed twice
        return None
    num_train, dropped = checked_num_train(chain), dropped_divergence(links)
    return linear_objective(layers, t, others, chain.kl_coef, num_train, dropped, last_step, lesson)


def _listen(chain: Any, class_loss: Variable, y: Any, teacher_logits: Any) -> Variable:
    """Mix the loss of the labels with that of the teacher."""
    lesson = _make_lesson(chain, teacher_logits)
    if lesson is None:
        return class_loss
    return mixed_loss(class_loss, distillation(y, teacher_logits, lesson.temperature), lesson)


def _make_lesson(chain: Any, teacher_logits: Any) -> Lesson | None:
    """Put together what a teacher says, and how it is listened to."""
    if teacher_logits is None:
        return None
    if chain.distillation is None:
        raise ArgumentError(
            f"{type(chain).__name__}.calc_loss got a teacher's logits, its distillation is None: set "
            "it to a vdprune.Distillation"
        )
    settings = chain.distillation
    return Lesson(teacher_logits, settings.temperature, settings.weight)


def checked_num_train(chain: Any) -> int:
    """Return a network's number of training examples.

    Args:
        chain: The network.

    Raises:
        ArgumentError: It is not set, or below 1.
    """
    if chain.num_train is None or not chain.num_train >= 1:
        raise ArgumentError(
            f"{type(chain).__name__}.num_train is {chain.num_train}: the KL divergence is divided by "
            "the number of training examples, so set num_train to it, as in model.num_train = "
            "len(train)"
        )
    return int(chain.num_train)


def dropped_divergence(links: list[Any]) -> float:
    """Add up the KL divergence of weights that are not trained any more.

    Args:
        links: Variational layers.

    Returns:
        The sum, in nats; 0 unless there are compacted ones among them.
    """
    return sum(link.whole.dropped_divergence for link in links if link.whole)
