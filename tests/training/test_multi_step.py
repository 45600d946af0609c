"""When an update has several steps, and what others see of it."""

import copy
from pathlib import Path
from typing import Any

import numpy
import pytest
from chainer import function_hooks, link_hooks
from chainer.training import StandardUpdater, extensions, get_trigger
from chainer.training.triggers import ManualScheduleTrigger, MinValueTrigger

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


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ((4, "iteration"), [4, 8, 12, 16, 20, 24, 28]),
        ((0.5, "epoch"), [5, 10, 15, 19, 24, 29]),
        ((1, "epoch"), [10, 19, 29]),
        ((2, "epoch"), [19]),
        (ManualScheduleTrigger([16, 4, 9, 200], "iteration"), [4, 9, 16]),
        (ManualScheduleTrigger([0.25, 2.0], "epoch"), [3, 19]),
        (MinValueTrigger("main/loss", (7, "iteration")), [7]),
    ],
    ids=["iterations", "half epochs", "epochs", "two epochs", "points", "in epochs", "best"],
)
def test_triggers_fire_when_they_would(trigger: Any, expected: list[int]) -> None:
    fired = {}
    for updater_type in (StandardUpdater, MultiStepUpdater):
        run, seen = Run(updater_type), fired.setdefault(updater_type, [])
        run.trainer.extend(
            lambda trainer, seen=seen: seen.append(trainer.updater.iteration),
            name="seen",
            trigger=copy.deepcopy(trigger),
        )
        run.run()
        assert (len(run.iterations) < len(run.reports)) == (updater_type is MultiStepUpdater)
    assert fired[MultiStepUpdater] == fired[StandardUpdater]
    assert fired[StandardUpdater][: len(expected)] == expected


@pytest.mark.parametrize("stop", [(13, "iteration"), (1.6, "epoch")])
def test_training_stops_when_it_would(stop: tuple[float, str]) -> None:
    runs = []
    for updater_type in (StandardUpdater, MultiStepUpdater):
        runs.append(Run(updater_type))
        runs[-1].trainer.stop_trigger = get_trigger(stop)
        runs[-1].run()
    assert_same(runs[1].state(), runs[0].state())


def test_a_trigger_that_fires_always_does_after_each_update() -> None:
    run, seen = Run(MultiStepUpdater), []
    run.trainer.extend(lambda trainer: seen.append(1), name="seen", trigger=(1, "iteration"))
    run.run()
    assert len(seen) == len(run.iterations) == 6


@pytest.mark.parametrize("trigger", [(7, "iteration"), (1, "epoch"), (0.7, "epoch")])
def test_logs_are_those_of_chainers_updater(trigger: tuple[float, str], tmp_path: Path) -> None:
    logs = []
    for updater_type in (StandardUpdater, MultiStepUpdater):
        run = Run(updater_type, make_model=lambda: Net(statistics_interval=5), out=tmp_path)
        run.trainer.extend(extensions.LogReport(trigger=trigger))
        run.run()
        logs.append(run.trainer.get_extension("LogReport").log)
    assert len(logs[0]) > 2
    for mine, theirs in zip(logs[1], logs[0], strict=True):
        assert mine.keys() == theirs.keys()
        for name in set(theirs) - {"elapsed_time"}:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-6), name


def test_statistics_are_counted_when_they_are_due() -> None:
    def make_model() -> Net:
        return Net(statistics_interval=4)

    assert_same_runs(make_model=make_model, epochs=1)


def test_the_observation_is_the_mean() -> None:
    run = Run(MultiStepUpdater)
    means: list[dict[str, float]] = []
    run.trainer.extend(lambda trainer: means.append(dict(trainer.observation)), name="means")
    run.run()
    first = 0
    for mean, before, last in zip(means, [0, *run.iterations], run.iterations, strict=False):
        reports = run.reports[before:last]
        first += len(reports)
        if len(reports) > 1:
            assert {value[1] for value in mean.values()} == {len(reports)}
            mean = {name: value[0] for name, value in mean.items()}
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
