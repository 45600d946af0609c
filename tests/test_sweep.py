import itertools

import numpy
import pytest

from tests.conftest import make_tiny_arrays
from vdprune.chain import VariationalDropoutChain
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Dataset, make_dataset
from vdprune.errors import ArgumentError
from vdprune.pruning import sorted_log_alpha
from vdprune.recipes.files import load_recipe
from vdprune.sweep import Sweep, SweepPoint, choose_point
from vdprune.training.start import start_checkpoint


@pytest.fixture(scope="module")
def data() -> Dataset:
    a = make_tiny_arrays()
    return make_dataset("tiny", (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"]))


@pytest.fixture
def model(data: Dataset) -> VariationalDropoutChain:
    """Untrained, with log alphas all over the range."""
    recipe = load_recipe("paper", "lenet300").with_options(theta_std=0.1)
    model = start_checkpoint(recipe, "lenet300", data).model
    for _, link in model.named_variational_links():
        link.log_sigma2.array[...] = numpy.random.uniform(-10, 4, link.W.shape)
    return model


def test_points_are_what_the_network_is_at_their_thresholds(
    model: VariationalDropoutChain, data: Dataset
) -> None:
    seen: list[SweepPoint] = []
    points = Sweep(model, data.test).run(3.0, 12, seen.append)
    assert len(points) == len(seen) == 12
    assert sorted(seen, key=lambda point: point.threshold) == points
    assert 3.0 in [point.threshold for point in points]
    log_alpha = sorted_log_alpha(model)
    for point in points:
        assert point.weights == log_alpha.size
        assert point.nonzero == (log_alpha <= numpy.float32(point.threshold)).sum()
        for _, link in model.named_variational_links():
            link.loga_threshold = point.threshold
        evaluation = evaluate(model, data.test)
        assert (point.error, point.loss) == (evaluation.error, evaluation.loss)
    assert points[-1].nonzero == log_alpha.size
    assert points[0].nonzero <= log_alpha.size / 2000


def test_the_model_is_left_as_it_was(model: VariationalDropoutChain, data: Dataset) -> None:
    before = model.sparsity()
    Sweep(model, data.test).run(-1.0, 5, lambda point: None)
    assert model.sparsity() == before
    assert {link.loga_threshold for _, link in model.named_variational_links()} == {3.0}


def test_points_gather_where_the_error_changes(
    model: VariationalDropoutChain, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that errs on 1 % with 5,000 weights or more, else on 90 %."""
    from vdprune import sweep
    from vdprune.evaluation import Evaluation

    def jump(model: VariationalDropoutChain, split: object) -> Evaluation:
        return Evaluation(90, 1.0 if model.sparsity().nonzero >= 5000 else 90.0, 0.0)

    monkeypatch.setattr(sweep, "evaluate", jump)
    points = Sweep(model, data.test).run(3.0, 24, lambda point: None)
    ((low, high),) = [
        gap for gap in itertools.pairwise(points) if gap[0].error == 90 and gap[1].error == 1
    ]
    assert 4990 < low.nonzero < 5000 <= high.nonzero < 5010


def test_a_network_with_few_thresholds_has_few_points(
    model: VariationalDropoutChain, data: Dataset
) -> None:
    for _, link in model.named_variational_links():
        link.W.array[...] = 1
        link.log_sigma2.array[...] = -2
    (point,) = Sweep(model, data.test).run(-2.0, 20, lambda point: None)
    assert point.nonzero == point.weights
    assert point.compression == 1


def point(threshold: float, nonzero: int, error: float, loss: float = 0.0) -> SweepPoint:
    return SweepPoint(threshold, 1000, nonzero, error, loss)


POINTS = [point(-2, 5, 60), point(-1, 20, 2.4), point(0, 50, 2.6), point(3, 100, 2.0)]


@pytest.mark.parametrize(
    ("max_increase", "nonzero"), [(0, 100), (0.3, 100), (0.4, 20), (0.6, 20), (99, 5)]
)
def test_choice(max_increase: float, nonzero: int) -> None:
    assert choose_point(POINTS, 3, max_increase).nonzero == nonzero


def test_choice_may_be_denser_where_that_is_all_that_is_good() -> None:
    points = [point(1, 10, 5), point(3, 20, 4), point(8, 900, 1)]
    assert choose_point(points, 3, 0).threshold == 3
    assert choose_point(points, 1, -2).threshold == 8


def test_narrowing_finds_a_sparser_network(
    model: VariationalDropoutChain, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vdprune import sweep
    from vdprune.evaluation import Evaluation

    monkeypatch.setattr(
        sweep,
        "evaluate",
        lambda model, split: Evaluation(90, 1000 / max(1, model.sparsity().nonzero), 0.0),
    )
    found = Sweep(model, data.test)
    found.run(3.0, 6, lambda point: None)
    base = next(p for p in found.points if p.threshold == 3.0).error
    before = choose_point(found.points, 3.0, 1.0)
    after = found.narrow(3.0, 1.0, 15, lambda point: None)
    assert after.nonzero < before.nonzero
    assert base + 0.99 < after.error <= base + 1.0


def test_a_network_without_variational_layers(data: Dataset) -> None:
    with pytest.raises(ArgumentError, match="VariationalDropoutChain has no variational layers"):
        Sweep(VariationalDropoutChain(), data.test)
