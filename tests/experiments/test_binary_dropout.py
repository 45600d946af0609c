from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest

from experiments import binary_dropout
from vdprune.archs.lenet300 import LeNet300
from vdprune.datasets import Dataset, load_dataset
from vdprune.recipes.files import load_recipe
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.schedule import Schedule


class InputsOfLinks(chainer.LinkHook):
    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}

    def forward_preprocess(self, args: Any) -> None:
        x = chainer.as_array(args.args[0])
        self.inputs[args.link.name] = x.reshape(len(x), -1)


@pytest.fixture
def data(tiny_npz: Path) -> Dataset:
    return load_dataset(str(tiny_npz))


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("paper", "lenet300").with_options(epochs=2, batch_size=50)


def test_hidden_units_are_dropped_in_training_only(data: Dataset) -> None:
    model = binary_dropout.DropoutLeNet300(data.input_shape, data.classes)
    ordinary = LeNet300(data.input_shape, data.classes)
    ordinary.copyparams(model)
    x = data.train.x[:50]
    with chainer.using_config("train", False):
        numpy.testing.assert_array_equal(model(x).array, ordinary(x).array)

    for link in (model.l1, model.l2):
        link.b.array[...] = 1e6  # so that no unit is zero but by dropout
    with InputsOfLinks() as hook, chainer.using_config("train", True):
        model(x)
    for name in ("l2", "l3"):
        assert (hook.inputs[name] == 0).mean() == pytest.approx(0.5, abs=0.03), name
    assert (hook.inputs["l1"] == data.train.x[:50].reshape(50, -1)).all()


def test_dropout_learns_at_the_rate_of_the_recipe(data: Dataset, recipe: Recipe) -> None:
    (phase,) = recipe.phases
    weights = []
    for rate in (((0.0, 0.0),), ((0.0, 0.0), (1.0, 0.0), (1.0, 1e-3))):
        still = replace(phase, learning_rate=Schedule(rate))
        numbers = replace(recipe, phases=(still,), seed=3)
        model, sparsity = binary_dropout.train_with_dropout(data, numbers, lambda row: None)
        weights.append(model.l1.W.array)
        assert sparsity.sparsity == 0
    numpy.random.seed(3)
    initial = LeNet300(data.input_shape, data.classes).l1.W.array
    numpy.testing.assert_array_equal(weights[0], initial)
    steps = abs(weights[1] - initial)
    assert 0 < steps.max() < 7e-3  # the six steps of the second epoch
