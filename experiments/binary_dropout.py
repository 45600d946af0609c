"""LeNet-300-100 with binary dropout, for comparison with sparse variational dropout."""

from collections.abc import Callable
from typing import Any

import numpy

import vdprune  # before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer
import chainer.functions as F
from chainer import Chain
from chainer.links import Linear

from vdprune.archs.lenet300 import LeNet300
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Dataset
from vdprune.recipes.recipe import Recipe
from vdprune.sparsity import NetworkSparsity, measure_sparsity

DROPOUT = 0.5  # share of hidden units


class DropoutLeNet300(LeNet300):
    """LeNet-300-100 with binary dropout of its hidden units."""

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Examples, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        h = F.dropout(F.relu(self.l1(self.scaling(x))), DROPOUT)
        h = F.dropout(F.relu(self.l2(h)), DROPOUT)
        return self.l3(h)


def train_with_dropout(
    data: Dataset, recipe: Recipe, on_epoch: Callable[[dict[str, Any]], Any]
) -> tuple[Chain, NetworkSparsity]:
    """Train LeNet-300-100 with ordinary links and binary dropout.

    Args:
        data: Its training examples are learned.
        recipe: Whose seed, batch size, epochs and learning rate are taken.
        on_epoch: Called after each epoch with the error on the training examples, measured without
            noise, and the share of weights that are zero.

    Returns:
        The network and what is left of it.
    """
    numpy.random.seed(recipe.seed)
    x, t = data.train.x, data.train.t
    model = DropoutLeNet300(data.input_shape, data.classes)
    model.scaling.fit(x, data.input_scale)
    optimizer = vdprune.Adam().setup(model)
    updater = chainer.training.StandardUpdater(
        chainer.iterators.SerialIterator(range(len(x)), recipe.batch_size),
        optimizer,
        converter=vdprune.ArrayBatches(x, t),
        loss_func=model.calc_loss,
    )
    (phase,) = recipe.phases
    for epoch in range(phase.epochs):
        optimizer.alpha = phase.learning_rate.at(epoch)
        while updater.epoch == epoch:
            updater.update()
        sparsity = _count_weights(model)
        on_epoch({"error": evaluate(model, data.train).error, "sparsity": sparsity.sparsity})
    return model, sparsity


def _count_weights(model: Chain) -> NetworkSparsity:
    links = [link for link in model.namedlinks(skipself=True) if isinstance(link[1], Linear)]
    return measure_sparsity((name.removeprefix("/"), link.W.array) for name, link in links)
