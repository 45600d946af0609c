from dataclasses import replace

import chainer
import numpy
import pytest

from tests.conftest import make_tiny_arrays
from vdprune.checkpoint import Checkpoint
from vdprune.datasets import Dataset, make_dataset
from vdprune.errors import ArgumentError
from vdprune.pruning import prune
from vdprune.recipes.files import load_recipe
from vdprune.training.start import check_data, start_checkpoint

PAPER = load_recipe("paper", "lenet300")


@pytest.fixture(scope="module")
def data() -> Dataset:
    a = make_tiny_arrays()
    for part in ("train", "test"):
        a[f"x_{part}"] = numpy.kron(a[f"x_{part}"], numpy.ones((2, 2), numpy.uint8))
    return make_dataset("large", (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"]))


@pytest.fixture
def learned(data: Dataset) -> Checkpoint:
    """A network with BatchNormalization that has seen images, a quarter of its weights cut."""
    checkpoint = start_checkpoint(replace(PAPER, seed=7), "lenet5-bn", data)
    model = checkpoint.model
    model(data.train.x[:50])
    for _, link in model.named_variational_links():
        dead = numpy.random.random_sample(link.W.shape) < 0.25
        link.log_sigma2.array[dead] = 4
    return checkpoint


def test_the_seed_decides_the_weights(data: Dataset) -> None:
    first, second, other = (
        start_checkpoint(replace(PAPER, seed=seed), "lenet300", data).model.l1.W.array
        for seed in (1, 1, 2)
    )
    numpy.testing.assert_array_equal(first, second)
    assert (first != other).any()
    assert first.std() == pytest.approx(0.01, rel=0.1)  # as the authors have it


def test_theta_std_can_be_given(data: Dataset) -> None:
    model = start_checkpoint(replace(PAPER, theta_std=0.3), "lenet300", data).model
    assert model.l1.W.array.std() == pytest.approx(0.3, rel=0.1)


def test_weights_come_from_another_network(data: Dataset, learned: Checkpoint) -> None:
    recipe = replace(PAPER, initial_log_sigma2=-9.0)
    started = start_checkpoint(recipe, "lenet5-bn", data, learned)
    assert started.earlier_recipes == [learned.recipe]
    for (_, mine), (_, theirs) in zip(
        started.model.named_variational_links(),
        learned.model.named_variational_links(),
        strict=True,
    ):
        numpy.testing.assert_array_equal(mine.W.array, theirs.masked_W().array)
        assert (mine.W.array == 0).mean() == pytest.approx(0.25, abs=0.1)
        assert (mine.log_sigma2.array[mine.W.array != 0] == -9).all()
    assert (started.model.bn2.avg_mean != 0).any()
    numpy.testing.assert_array_equal(started.model.bn2.avg_mean, learned.model.bn2.avg_mean)
    assert started.model.bn2.N == learned.model.bn2.N
    with chainer.using_config("train", False):
        mine, theirs = (c.model(data.test.x[:20]).array for c in (started, learned))
    numpy.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_what_is_masked_stays_at_zero(data: Dataset, learned: Checkpoint) -> None:
    recipe = replace(PAPER, initial_log_sigma2=-20.0)
    started = start_checkpoint(recipe, "lenet5-bn", data, learned).model
    for (_, mine), (_, theirs) in zip(
        started.named_variational_links(), learned.model.named_variational_links(), strict=True
    ):
        numpy.testing.assert_array_equal(mine.kept(), theirs.kept())


def test_what_was_pruned_stays_at_zero_whatever_the_threshold_is(
    data: Dataset, learned: Checkpoint
) -> None:
    pruned = prune(prune(learned, 3.0), 9.0).model
    recipe = replace(PAPER, initial_log_sigma2=-20.0)
    started = start_checkpoint(recipe, "lenet5-bn", data, replace(learned, pruned=True)).model
    for (_, mine), (_, theirs) in zip(
        started.named_variational_links(), pruned.named_variational_links(), strict=True
    ):
        numpy.testing.assert_array_equal(mine.kept(), theirs.W.array != 0)


@pytest.mark.parametrize("name", ["finetune", "dense"])
def test_nothing_is_cut_before_training_without_noise(data: Dataset, name: str) -> None:
    model = start_checkpoint(load_recipe(name, "lenet300"), "lenet300", data).model
    assert model.sparsity().sparsity == 0


def test_a_cut_that_would_leave_nothing(data: Dataset) -> None:
    weights = 300 * 256 + 300 * 100 + 100 * 3
    dense, gradual = load_recipe("magnitude", "lenet300").phases
    for compression in (weights, weights + 1):
        cut = replace(gradual.cuts[0], compression=compression)
        recipe = replace(PAPER, phases=(dense, replace(gradual, cuts=(cut,))))
        if compression == weights:
            start_checkpoint(recipe, "lenet300", data)
            continue
        with pytest.raises(
            ArgumentError, match="gradual: a cut to 107,101x .* network's 107,100 weig"
        ):
            start_checkpoint(recipe, "lenet300", data)


def test_the_other_network_stays_as_it_is(data: Dataset, learned: Checkpoint) -> None:
    before = {name: param.array.copy() for name, param in learned.model.namedparams()}
    started = start_checkpoint(PAPER, "lenet5-bn", data, learned)
    for param in started.model.params():
        param.array[...] = 5
    started.model.bn1.avg_mean[...] = 5
    for name, param in learned.model.namedparams():
        numpy.testing.assert_array_equal(param.array, before[name])
    assert (learned.model.bn1.avg_mean != 5).all()


def test_another_network_is_refused(data: Dataset, learned: Checkpoint) -> None:
    with pytest.raises(
        ArgumentError, match=r"lenet5-bn for \[1, 16, 16\] in 3 classes.*this one is lenet300"
    ):
        start_checkpoint(PAPER, "lenet300", data, learned)


def test_an_arch_without_a_width_has_none(data: Dataset) -> None:
    with pytest.raises(ArgumentError, match="lenet300 has no width"):
        start_checkpoint(PAPER, "lenet300", data, width=2.0)


def test_a_validation_split_that_leaves_too_few(data: Dataset) -> None:
    checkpoint, rest = start_checkpoint(PAPER, "lenet300", data), data.hold_out(201)
    check_data(checkpoint, rest, 99)
    with pytest.raises(
        ArgumentError, match="batch_size is 100, validation 201 leaves 99 of 300 training examples"
    ):
        check_data(checkpoint, rest, 100)
