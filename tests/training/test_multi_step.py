"""When an update has several steps, and what others see of it."""

import itertools
from pathlib import Path
from typing import Any

import numpy
import pytest
from chainer import function_hooks, link_hooks
from chainer.training import StandardUpdater, extensions

from tests.training.steps import Net, Restless, Run, assert_same, assert_same_runs
from vdprune import (
    MultiStepUpdater,
    VariationalDropoutChain,
)
from vdprune.training import multi_step

# an update is long enough for an epoch
pytestmark = pytest.mark.usefixtures("however_slow")


def test_a_class_says_that_it_is_static_for_its_own_forward() -> None:
    class Derived(Net):
        pass

    class Silent(VariationalDropoutChain):
        forward = Net.forward

    assert [multi_step._is_static(each) for each in (Net, Derived, Restless, Silent)] == [
        True,
        True,
        False,
        False,
    ]


def test_who_watches_links_sees_them_all() -> None:
    with link_hooks.TimerHook() as watching:
        assert_same_runs(has_several=False)
    assert len(watching.call_history) == 2 * 29 * (3 + 1)  # runs, steps, layers and the network

    def watch_one(model: Any, optimizer: Any) -> None:
        model.layers[1].add_hook(link_hooks.TimerHook())

    assert_same_runs(has_several=False, prepare=watch_one)


def test_who_watches_functions_sees_them_all() -> None:
    with function_hooks.TimerHook() as watching:
        assert_same_runs(has_several=False)
    assert len(watching.call_history) > 30 * 8


def test_an_update_ends_where_others_have_something_to_do() -> None:
    plain = Run(MultiStepUpdater).run()
    run = Run(MultiStepUpdater, pauses=[16, 4, 9, 200]).run()
    assert {4, 9, 16} <= set(run.iterations)
    assert not {4, 16} & set(plain.iterations)
    assert_same(run.reports, plain.reports)


def test_statistics_are_counted_when_they_are_due() -> None:
    def make_model() -> Net:
        return Net(statistics_interval=4)

    assert_same_runs(make_model=make_model, epochs=1)


def test_triggers(tmp_path: Path) -> None:
    run = Run(MultiStepUpdater, out=tmp_path)
    seen: list[int] = []
    halves: list[float] = []
    run.trainer.extend(
        lambda trainer: seen.append(trainer.updater.iteration), name="a", trigger=(5, "iteration")
    )
    run.trainer.extend(
        lambda trainer: halves.append(trainer.updater.epoch_detail),
        name="b",
        trigger=(0.5, "epoch"),
    )
    run.trainer.extend(extensions.LogReport(trigger=(1, "epoch")))
    run.run()
    # an interval that ends within an update has its trigger at the update's end
    assert 3 <= len(seen) <= 6
    assert all(b // 5 > a // 5 for a, b in itertools.pairwise(seen))
    assert len(halves) == 6
    rows = run.trainer.get_extension("LogReport").log
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["iteration"] for row in rows] == [10, 19, 29]


def test_the_observation_is_the_mean() -> None:
    run = Run(MultiStepUpdater)
    means: list[dict[str, float]] = []
    run.trainer.extend(lambda trainer: means.append(dict(trainer.observation)), name="means")
    run.run()
    first = 0
    for mean, before, last in zip(means, [0, *run.iterations], run.iterations, strict=False):
        reports = run.reports[before:last]
        first += len(reports)
        for name in ("main/loss", "main/class", "main/kl", "main/kl_coef", "main/accuracy"):
            expected = numpy.mean([report[name] for report in reports])
            assert float(mean[name]) == pytest.approx(expected, rel=1e-12)
        assert mean["main/sparsity"] == reports[0]["main/sparsity"]
    assert first == len(run.reports)


def test_without_a_trainer_it_takes_one_step() -> None:
    runs = []
    for updater_type in (StandardUpdater, MultiStepUpdater):
        runs.append(Run(updater_type))
        for _ in range(3):
            runs[-1].updater.update()
    assert_same(runs[1].state(), runs[0].state())
    assert runs[1].updater.iteration == 3


def test_an_update_takes_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_step, "_SECONDS", 1e-9)
    assert_same_runs(has_several=False)
    monkeypatch.setattr(multi_step, "_SECONDS", 1e9)
    monkeypatch.setattr(multi_step, "_MOST", 5)
    run = Run(MultiStepUpdater, epochs=1).run()
    assert run.iterations == [6, 9, 10]
