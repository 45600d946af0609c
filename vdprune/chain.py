"""The chain whose loss is the joint objective of variational dropout."""

from collections import Counter
from typing import Any

import chainer
import numpy
from chainer import Chain, Variable, as_array, reporter

from vdprune import conversion
from vdprune.finiteness import LossesOnGpu, check_finite
from vdprune.functions.last_step import LayersOfLastStep
from vdprune.functions.variational_layer import Alive
from vdprune.links.compaction import compact, expand, find_alive
from vdprune.links.variational_dropout import ForwardPass
from vdprune.objective import Distillation, compute_objective
from vdprune.sparsity import NetworkSparsity, measure_sparsity


class VariationalDropoutChain(Chain):
    """Base class of models with variational dropout layers.

    Derive a model from it, alone or before an ordinary Chain class, and give ``calc_loss`` to
    Chainer's updater::

        class Net(VariationalDropoutChain):
            def __init__(self):
                super().__init__(num_train=60000)
                with self.init_scope():
                    self.l1 = VariationalDropoutLinear(784, 10)

            def forward(self, x):
                return self.l1(x)

        StandardUpdater(train_iter, optimizer, loss_func=model.calc_loss)

    Args:
        warm_up: What the KL weight ``kl_coef`` gains with each training step, from 0 up to 1. With 0
            it is 1 from the start, or what is assigned to it.
        num_train: Number of training examples N; the KL divergence is divided by it. May be set
            later, as an attribute.
        statistics_interval: mean_p, sparsity and W/Wnz are counted anew once in so many training
            steps; on a GPU losses are checked then, too.
        **kwargs: For the next class in line, as an ordinary Chain's own arguments.

    A class whose ``forward`` does the same with every batch may say so, by ``is_static = True`` beside
    it; see `MultiStepUpdater`.
    """

    kl_coef: float
    iteration: int
    is_static = False

    def __init__(
        self,
        warm_up: float = 0.0001,
        num_train: int | None = None,
        statistics_interval: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.warm_up = warm_up
        self.num_train = num_train
        self.statistics_interval = statistics_interval
        self.add_persistent("kl_coef", 0.0 if warm_up else 1.0)
        self.add_persistent("iteration", 0)
        self.distillation: Distillation | None = None
        self._statistics: dict[str, float] | None = None
        self._losses_on_gpu = LossesOnGpu()
        self._compaction: dict[str, Alive] = {}
        self.last_step = LayersOfLastStep()

    def calc_loss(self, x: Any, t: Any, teacher_logits: Any = None) -> Variable:
        """Compute the joint objective of a batch: mean cross entropy + kl_coef * KL / N.

        With a teacher's logits the cross entropy shares its place with the divergence from the
        teacher: see `Distillation`.

        Reports ``loss``, ``class`` (the cross entropy), ``kl`` (KL / N, in nats per training
        example), ``kl_coef`` and ``accuracy``; in training also ``mean_p`` (mean dropout rate),
        ``sparsity`` and ``W/Wnz`` (the compression).

        Args:
            x: Batch of inputs, what the model's ``forward`` takes.
            t: Their labels, shape (batch,), int32.
            teacher_logits: What a teacher says of them, shape (batch, classes); None without one.

        Returns:
            The loss, shape ().

        Raises:
            ArgumentError: ``num_train`` is not set, or ``distillation`` where there is a teacher.
            NonFiniteLossError: In training, the loss is infinite or not a number. On a GPU this is
                found out once in ``statistics_interval`` steps, or by `check_losses`.
        """
        with chainer.using_device(self.device):
            return self._calc_loss(x, t, teacher_logits)

    def _calc_loss(self, x: Any, t: Any, teacher_logits: Any) -> Variable:
        is_training = chainer.config.train
        named_links = self.named_variational_links()
        links = [link for _, link in named_links]
        if is_training and self._compaction:
            for name, link in named_links:
                if name in self._compaction and link.alive is None:
                    compact(link, self._compaction[name])
        postpones = is_training and bool(links)
        with ForwardPass(links, postpones):
            objective = compute_objective(self, x, t, teacher_logits, links, self.last_step)
            if is_training:
                self._count_step(x, objective.loss, links)
        observation = {
            "loss": objective.loss.array,
            "class": objective.class_loss,
            "kl": objective.kl,
            "kl_coef": self.kl_coef,
            "accuracy": objective.accuracy,
        }
        if is_training:
            observation.update(self._statistics or {})
            self.kl_coef = self.next_kl_coef(self.kl_coef)
        reporter.report(observation, self)
        return objective.loss

    def next_kl_coef(self, kl_coef: float) -> float:
        """Return what the weight of the KL divergence is a training step later.

        Args:
            kl_coef: What it is.
        """
        return min(1.0, kl_coef + self.warm_up) if self.warm_up else kl_coef

    def check_losses(self) -> None:
        """Make sure that the losses of all training steps so far were finite.

        Raises:
            NonFiniteLossError: On a GPU, where `calc_loss` does not wait for it, one was not.
        """
        with chainer.using_device(self.device):
            self._losses_on_gpu.check(self)

    def sparsity(self) -> NetworkSparsity:
        """Count the weights of the variational layers that survive their thresholds.

        After `to_cpu_sparse`, those of the sparse layers.

        Returns:
            The counts per layer and in all.
        """
        with chainer.using_device(self.device):
            return measure_sparsity(
                (name, as_array(link.masked_W()))
                for name, link in conversion.named_masked_links(self)
            )

    def named_variational_links(self) -> list[tuple[str, Any]]:
        """List the variational layers.

        Returns:
            Path, as ``l1`` or ``block/0/conv``, and link.
        """
        return conversion.named_variational_links(self)

    def find_compaction(self) -> dict[str, Alive]:
        """Find out what training can do without: outputs and inputs of layers without weights.

        Returns:
            What is alive, by layer, for `compact`; layers that are all alive are not in it.
        """
        self.expand()
        links = self.named_variational_links()
        owners = Counter(id(param) for _, link in links for param in (link.W, link.log_sigma2))
        with chainer.using_device(self.device):
            found = {
                name: find_alive(link)
                for name, link in links
                # not tied to another layer's
                if owners[id(link.W)] == owners[id(link.log_sigma2)] == 1
            }
        return {name: alive for name, alive in found.items() if alive is not None}

    def compact(self, compaction: dict[str, Alive]) -> None:
        """From the next training step on, train what is alive, as a smaller and faster network.

        What is dropped stays as it is. While parameters are small, `expand` must come before they, or
        their optimizer, are looked at; not between a forward pass and its backward pass.

        Args:
            compaction: What `find_compaction` found, now or before; empty for the whole network.
        """
        self.expand()
        self._compaction = compaction

    def expand(self) -> None:
        """Bring the parameters back to their whole size, until the next training step."""
        with chainer.using_device(self.device):
            for _, link in self.named_variational_links():
                expand(link)

    def device_resident_accept(self, visitor: Any) -> None:
        """Move the chain as Chainer does, at its whole size; it is compacted anew where it gets to."""
        self.expand()
        super().device_resident_accept(visitor)

    @property
    def compaction(self) -> dict[str, Alive]:
        """What `compact` was given."""
        return self._compaction

    def serialize(self, serializer: Any) -> None:
        """Save or load the parameters at their whole size; what is loaded is not compacted."""
        self.expand()
        if isinstance(serializer, chainer.Deserializer):
            self._compaction = {}
            self._losses_on_gpu = LossesOnGpu()
        super().serialize(serializer)

    def copy(self, mode: str = "share") -> "VariationalDropoutChain":
        """Copy the chain as Chainer does, at its whole size; the copy is not compacted."""
        self.expand()
        copied = super().copy(mode)
        copied._compaction = {}
        copied._losses_on_gpu = LossesOnGpu()
        copied.last_step = LayersOfLastStep()
        return copied

    def to_variational_dropout(self, **kwargs: Any) -> conversion.ConversionReport:
        """Turn every Linear and Convolution2D of the chain into its variational twin, in place.

        Args:
            **kwargs: Those of `vdprune.to_variational_dropout`.

        Returns:
            What was converted and what was left alone.
        """
        return conversion.to_variational_dropout(self, **kwargs)

    def to_cpu_sparse(self) -> None:
        """Turn every variational layer into a sparse one for inference on the CPU, in place."""
        conversion.to_cpu_sparse(self)

    def _count_step(self, x: Any, loss: Variable, links: list[Any]) -> None:
        if isinstance(loss.array, numpy.ndarray):
            check_finite(self, loss.array, x, self.iteration + 1)
        else:
            self._losses_on_gpu.note(loss.array, self.iteration + 1)
        if self.iteration % self.statistics_interval == 0 or self._statistics is None:
            self.check_losses()
            self._statistics = self._count_statistics(links)
        self.iteration += 1

    def _count_statistics(self, links: list[Any]) -> dict[str, float]:
        sparsity = self.sparsity()
        if not sparsity.weights:
            return {}
        return {
            "mean_p": sum(link.sum_of_p() for link in links) / sparsity.weights,
            "sparsity": sparsity.sparsity,
            "W/Wnz": sparsity.compression or float("inf"),
        }
