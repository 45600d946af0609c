import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.test_checkpoint import make_checkpoint
from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import load_checkpoint
from vdprune.errors import ArgumentError
from vdprune.export.collecting import collect_checkpoint
from vdprune.links import VariationalDropoutLinear
from vdprune.pruning import prune, threshold_for_sparsity


def reference_log_alpha(link: VariationalDropoutLinear) -> numpy.ndarray:
    W = link.W.array.astype(numpy.float64)
    return numpy.clip(link.log_sigma2.array - numpy.log(W**2 + 1e-8), -8, 8)


def exact_log_alphas(model: VariationalDropoutChain) -> numpy.ndarray:
    links = model.named_variational_links()
    return numpy.concatenate([link.log_alpha().array.ravel() for _, link in links])


@pytest.mark.parametrize("arch", ["lenet300", "lenet5"])
@pytest.mark.parametrize("threshold", [-8.5, -4.0, 0.0, 2.0, 3.0, 7.9, 8.0, 20.0])
def test_the_weights_above_the_threshold_are_cut_and_no_others(arch: str, threshold: float) -> None:
    checkpoint = make_checkpoint(arch)
    links = checkpoint.model.named_variational_links()
    before = [(link.W.array.copy(), reference_log_alpha(link)) for _, link in links]
    pruned = prune(checkpoint, threshold)
    cut = 0
    for (_, link), (W, log_alpha) in zip(links, before, strict=True):
        is_clear = abs(log_alpha - threshold) > 1e-5
        above = (log_alpha > threshold) & is_clear
        below = (log_alpha <= threshold) & is_clear
        assert (link.W.array[above] == 0).all()
        numpy.testing.assert_array_equal(link.W.array[below], W[below])
        cut += int((link.W.array == 0).sum())
    total = sum(W.size for W, _ in before)
    assert (cut == total) if threshold < -8 else (cut == 0) if threshold >= 8 else (0 < cut < total)
    assert pruned.model.sparsity().nonzero == total - cut


def test_a_model_is_no_checkpoint() -> None:
    model: Any = make_checkpoint().model
    with pytest.raises(
        ArgumentError, match=r"not a LeNet300: in a model of your own set loga_threshold"
    ):
        prune(model, 1.0)


def test_nothing_but_what_is_cut_is_changed() -> None:
    checkpoint, original = make_checkpoint(), make_checkpoint()
    links = dict(original.model.named_variational_links())
    prune(checkpoint, 1.0)
    for name, link in checkpoint.model.named_variational_links():
        kept = links[name].log_alpha().array <= 1.0
        for param in ("W", "log_sigma2"):
            array, before = getattr(link, param).array, getattr(links[name], param).array
            numpy.testing.assert_array_equal(array, numpy.where(kept, before, 0))
        numpy.testing.assert_array_equal(link.b.array, links[name].b.array)
    numpy.testing.assert_array_equal(checkpoint.model.scaling.mean, original.model.scaling.mean)


def test_cut_weights_have_no_sign() -> None:
    """-0.0 is zero as well, but takes room in compressed files."""
    checkpoint = make_checkpoint("lenet300")
    before = collect_checkpoint(checkpoint)
    prune(checkpoint)
    for _, link in checkpoint.model.named_variational_links():
        W = link.W.array
        assert (W == 0).any() and not numpy.signbit(W[W == 0]).any()
    for W in before.weights.values():
        assert (W == 0).any() and not numpy.signbit(W[W == 0]).any()


def test_what_it_returns() -> None:
    checkpoint = make_checkpoint()
    pruned = prune(checkpoint, 1.5)
    assert pruned.model is checkpoint.model
    assert (pruned.kind, pruned.threshold) == ("pruned", 1.5)
    assert (checkpoint.kind, checkpoint.threshold) == ("checkpoint", 2.5)
    assert pruned.history == checkpoint.history
    for _, link in pruned.model.named_variational_links():
        assert link.loga_threshold == 1.5


def test_pruning_at_the_threshold_of_training_leaves_the_predictions() -> None:
    checkpoint = make_checkpoint()
    x = numpy.random.default_rng(1).integers(0, 256, (50, 1, 3, 3)).astype(numpy.uint8)
    with chainer.using_config("train", False):
        before = checkpoint.model(x).array
        after = prune(checkpoint, 2.5).model(x).array
    numpy.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("threshold", [-6.0, -1.0, 3.0])
def test_pruning_again_changes_nothing(threshold: float) -> None:
    once = prune(make_checkpoint(), threshold)
    arrays = [link.W.array.copy() for _, link in once.model.named_variational_links()]
    twice = prune(once, threshold)
    for array, (_, link) in zip(arrays, twice.model.named_variational_links(), strict=True):
        numpy.testing.assert_array_equal(link.W.array, array)


@pytest.mark.parametrize("threshold", [6.0, 9.0])
def test_a_higher_threshold_brings_nothing_back(threshold: float) -> None:
    checkpoint = make_checkpoint()
    for _, link in checkpoint.model.named_variational_links():
        link.log_sigma2.array[...] -= 10  # so low that theta = 0 alone is no noise
    once = prune(checkpoint, -6.0)
    cut = [link.W.array == 0 for _, link in once.model.named_variational_links()]
    assert all(0 < dead.mean() < 1 for dead in cut)
    twice = prune(once, threshold)
    for dead, (_, link) in zip(cut, twice.model.named_variational_links(), strict=True):
        numpy.testing.assert_array_equal(link.W.array == 0, dead)
        assert (link.log_alpha().array[dead] == 8).all()


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf, 1e31])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    checkpoint = make_checkpoint()
    before = checkpoint.model.l1.W.array.copy()
    with pytest.raises(ArgumentError, match="must be a log alpha between"):
        prune(checkpoint, threshold)
    numpy.testing.assert_array_equal(checkpoint.model.l1.W.array, before)


def test_the_lower_of_two_thresholds_counts(trained: Path) -> None:
    pruned = prune(load_checkpoint(trained / "checkpoint.h5"), 2.0)
    left = pruned.model.sparsity()
    for threshold, lower in ((3.0, 2.0), (1.0, 1.0)):
        pruned = prune(pruned, threshold)
        assert pruned.threshold == lower
        assert (pruned.model.sparsity().nonzero < left.nonzero) is (threshold == lower)


def test_a_trained_network_is_pruned_as_the_command_did(trained: Path) -> None:
    pruned = prune(load_checkpoint(trained / "checkpoint.h5"), 3.0)
    expected = load_checkpoint(trained / "pruned.h5")
    assert pruned.model.sparsity() == expected.model.sparsity()
    for (_, a), (_, b) in zip(
        pruned.model.named_variational_links(),
        expected.model.named_variational_links(),
        strict=True,
    ):
        numpy.testing.assert_array_equal(a.W.array, b.W.array)


class Two(VariationalDropoutChain):
    """Two layers with log alphas of one's own choice, up to rounding."""

    def __init__(self, log_alpha: list[float]) -> None:
        super().__init__()
        half = len(log_alpha) // 2
        with self.init_scope():
            self.a = VariationalDropoutLinear(half, 1)
            self.b = VariationalDropoutLinear(len(log_alpha) - half, 1)
        for link, part in ((self.a, log_alpha[:half]), (self.b, log_alpha[half:])):
            link.W.array[...] = 1
            link.log_sigma2.array[0] = part


@pytest.mark.parametrize("values", [[-9, -9], [-10, 9], [-8, -7.9995, 8]])
def test_a_network_without_noise_is_refused(values: list[float]) -> None:
    checkpoint = replace(make_checkpoint(), model=Two(values))
    with pytest.raises(ArgumentError, match="the network was trained without noise"):
        prune(checkpoint, 2.5)
    assert prune(checkpoint).threshold == 2.5
    with pytest.raises(ArgumentError, match="the network was trained without noise"):
        threshold_for_sparsity(Two(values), 0.5)


log_alphas = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=60)
targets = st.floats(0, 1, exclude_max=True)


@given(values=log_alphas, target=targets)
def test_at_least_the_target_is_cut_and_hardly_more(values: list[float], target: float) -> None:
    model = Two(values)
    log_alpha = exact_log_alphas(model)
    assume(log_alpha.min() > -7.9)  # else it may be a network without noise
    target *= 1 - (log_alpha == log_alpha.min()).mean()  # or none would be left
    threshold = threshold_for_sparsity(model, target)
    cut = (log_alpha > numpy.float32(threshold)).sum()
    assert cut >= target * log_alpha.size - 1e-6
    least = log_alpha[log_alpha > numpy.float32(threshold)].min(initial=numpy.inf)
    strictly_above = (log_alpha > least).sum()
    assert cut == 0 or strictly_above < target * log_alpha.size + 1e-6


@given(
    values=st.lists(st.integers(-700, 700), min_size=2, max_size=60, unique=True), target=targets
)
def test_without_ties_no_more_than_one_weight_too_many_is_cut(
    values: list[int], target: float
) -> None:
    target *= 1 - 1 / len(values)
    model = Two([value / 100 for value in values])
    cut = (exact_log_alphas(model) > threshold_for_sparsity(model, target)).sum()
    assert target * len(values) - 1e-6 <= cut <= math.ceil(target * len(values))


@pytest.mark.parametrize(("target", "cut"), [(0.0, 0), (0.1, 1), (0.5, 2), (0.74, 3), (0.75, 3)])
def test_four_known_weights(target: float, cut: int) -> None:
    model = Two([1.0, -2.0, 3.0, 0.0])
    assert (exact_log_alphas(model) > threshold_for_sparsity(model, target)).sum() == cut


def test_ties_are_cut_together() -> None:
    model = Two([2.0, 2.0, 2.0, -1.0])
    assert -1 <= threshold_for_sparsity(model, 0.25) < 2


@settings(max_examples=15, deadline=None)
@given(target=st.floats(0, 0.95))
def test_pruning_at_the_threshold_found_reaches_the_target(target: float) -> None:
    checkpoint = make_checkpoint()
    pruned = prune(checkpoint, threshold_for_sparsity(checkpoint.model, target))
    sparsity = pruned.model.sparsity()
    assert sparsity.sparsity >= target - 1e-9
    ties = (exact_log_alphas(make_checkpoint().model) >= 8).mean()
    assert sparsity.sparsity <= max(target, ties) + 3 / sparsity.weights


@pytest.mark.parametrize("target", [-0.01, 1.0, 1.5, math.nan, math.inf, -math.inf])
def test_targets_out_of_range_are_refused(target: float) -> None:
    with pytest.raises(ArgumentError, match="at least 0 and below 1"):
        threshold_for_sparsity(Two([1.0, 2.0]), target)


@given(count=st.integers(2, 60), ties=st.integers(1, 3))
def test_a_target_that_leaves_no_weight_is_refused(count: int, ties: int) -> None:
    model = Two([0.0] * (ties - 1) + [value / 10 for value in range(count)])
    weights = count + ties - 1
    with pytest.raises(ArgumentError, match=f"leaves none of the {weights} weights") as info:
        threshold_for_sparsity(model, 1 - (ties - 0.01) / weights)
    most = float(str(info.value).partition("; up to ")[2].partition(" ")[0])
    kept = (exact_log_alphas(model) <= threshold_for_sparsity(model, most)).sum()
    assert kept == ties
