import time
from dataclasses import replace
from pathlib import Path

import chainer
import numpy
import pytest

from tests.conftest import make_tiny_arrays
from vdprune.checkpoint import load_checkpoint
from vdprune.datasets import Dataset, make_dataset
from vdprune.errors import ArgumentError, FileFormatError, FileWriteError, NonFiniteLossError
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.schedule import Schedule
from vdprune.training.callbacks import Callbacks
from vdprune.training.extensions import TrainingInterruptedError
from vdprune.training.start import start_checkpoint
from vdprune.training.trainer import TrainingRun

CPU = chainer.get_device("@numpy")
PHASE = Phase(
    "variational",
    3,
    learning_rate=Schedule(((1, 1e-3), (3, 0))),
    kl_weight=Schedule(((0, 0), (2, 1))),
)
RECIPE = Recipe("tiny", (PHASE,), batch_size=50, theta_std=0.1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    a = make_tiny_arrays()
    return make_dataset("tiny", (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"]))


def start(
    recipe: Recipe, data: Dataset, out: Path, callbacks: Callbacks | None = None
) -> TrainingRun:
    data = data.hold_out(recipe.validation)
    checkpoint = start_checkpoint(recipe, "lenet300", data)
    return TrainingRun(checkpoint, data, out, CPU, callbacks or Callbacks())


def parameters(path: Path) -> dict[str, numpy.ndarray]:
    return {name: p.array for name, p in load_checkpoint(path).model.namedparams()}


def assert_same_parameters(a: Path, b: Path) -> None:
    for (name, mine), (_, theirs) in zip(
        sorted(parameters(a).items()), sorted(parameters(b).items()), strict=True
    ):
        numpy.testing.assert_array_equal(mine, theirs, err_msg=name)


def stop_after(steps: int) -> Callbacks:
    seen = [0]
    return Callbacks(on_step=seen.append, should_stop=lambda: seen[-1] >= steps)


def test_history_has_a_row_for_each_epoch(data: Dataset, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    steps: list[int] = []
    start(RECIPE, data, tmp_path / "c.h5", Callbacks(steps.append, rows.append)).run()
    history = load_checkpoint(tmp_path / "c.h5").history
    assert steps == sorted(set(steps))
    assert {6, 12, 18} <= set(steps)
    assert history == rows
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["kl_coef"] for row in rows] == [0, 0.5, 1]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3, 1e-3, 5e-4])
    assert set(rows[0]) == {
        "epoch",
        "iteration",
        "learning_rate",
        "kl_coef",
        "loss",
        "class",
        "kl",
        "train_error",
        "error",
        "eval_loss",
        "sparsity",
        "compression",
        "sparsity_of/l1",
        "sparsity_of/l2",
        "sparsity_of/l3",
        "seconds",
    }
    assert rows[-1]["loss"] == pytest.approx(rows[-1]["class"] + rows[-1]["kl"], rel=1e-4)


def test_scaling_is_fitted_to_the_training_images(data: Dataset, tmp_path: Path) -> None:
    checkpoint = start_checkpoint(RECIPE, "lenet300", data.hold_out(100))
    scaling = checkpoint.model.scaling
    kept = data.hold_out(100).train.x
    assert scaling.scale == 1 / 256
    numpy.testing.assert_allclose(scaling.mean, kept.mean(axis=0) / 256, rtol=1e-6)


def test_the_seed_decides_the_run(data: Dataset, tmp_path: Path) -> None:
    for name in "ab":
        start(RECIPE, data, tmp_path / f"{name}.h5").run()
    assert_same_parameters(tmp_path / "a.h5", tmp_path / "b.h5")
    start(replace(RECIPE, seed=1), data, tmp_path / "c.h5").run()
    with pytest.raises(AssertionError):
        assert_same_parameters(tmp_path / "a.h5", tmp_path / "c.h5")


@pytest.mark.usefixtures("one_step_at_a_time")
@pytest.mark.parametrize("steps", [1, 6, 8, 13])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    steps: int, data: Dataset, tmp_path: Path
) -> None:
    start(RECIPE, data, tmp_path / "whole.h5").run()
    with pytest.raises(TrainingInterruptedError, match=f"after {steps} step"):
        start(RECIPE, data, tmp_path / "parts.h5", stop_after(steps)).run()
    numpy.random.seed(99)
    run = TrainingRun.resume(tmp_path / "parts.h5", data, CPU, Callbacks())
    assert run.iteration == steps
    run.run()
    assert_same_parameters(tmp_path / "whole.h5", tmp_path / "parts.h5")
    whole, parts = (load_checkpoint(tmp_path / f"{n}.h5").history for n in ("whole", "parts"))
    for mine, theirs in zip(whole, parts, strict=True):
        del mine["seconds"], theirs["seconds"]
        assert mine == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 6, 8])
def test_a_run_that_stops_after_several_steps_is_resumed(
    steps: int, data: Dataset, tmp_path: Path
) -> None:
    start(RECIPE, data, tmp_path / "whole.h5").run()
    with pytest.raises(TrainingInterruptedError) as caught:
        start(RECIPE, data, tmp_path / "parts.h5", stop_after(steps)).run()
    run = TrainingRun.resume(tmp_path / "parts.h5", data, CPU, Callbacks())
    assert steps <= run.iteration < 18
    assert f"after {run.iteration} step" in str(caught.value)
    run.run()
    assert_same_parameters(tmp_path / "whole.h5", tmp_path / "parts.h5")
    whole, parts = (load_checkpoint(tmp_path / f"{n}.h5").history for n in ("whole", "parts"))
    assert [{**row, "seconds": 0} for row in whole] == [{**row, "seconds": 0} for row in parts]


def test_a_run_that_is_resumed_in_its_first_epoch_has_a_checkpoint(
    data: Dataset, tmp_path: Path
) -> None:
    begun = start(RECIPE, data, tmp_path / "c.h5", stop_after(1))
    assert (begun.has_checkpoint, begun.tell_what_is_kept()) == (False, " (no epoch was completed)")
    with pytest.raises(TrainingInterruptedError):
        begun.run()
    run = TrainingRun.resume(tmp_path / "c.h5", data, CPU, Callbacks())
    assert run.has_checkpoint
    steps = f"{run.iteration} step{'' if run.iteration == 1 else 's'}"
    assert run.tell_what_is_kept() == f" ({tmp_path / 'c.h5'} is that after {steps})"
    run.run()
    assert run.tell_what_is_kept() == f" ({tmp_path / 'c.h5'} is that of epoch {RECIPE.epochs})"


@pytest.mark.usefixtures("one_step_at_a_time")
def test_the_time_before_an_interruption_counts(data: Dataset, tmp_path: Path) -> None:
    wait, seen = 0.3, [0]

    def on_step(step: int) -> None:
        seen.append(step)
        if step == 2:
            time.sleep(wait)

    callbacks = Callbacks(on_step=on_step, should_stop=lambda: seen[-1] >= 3)
    with pytest.raises(TrainingInterruptedError):
        start(RECIPE, data, tmp_path / "c.h5", callbacks).run()
    TrainingRun.resume(tmp_path / "c.h5", data, CPU, Callbacks()).run()
    first, second, _ = load_checkpoint(tmp_path / "c.h5").history
    assert first["seconds"] > wait
    assert second["seconds"] < first["seconds"]


@pytest.mark.usefixtures("one_step_at_a_time")
@pytest.mark.parametrize(
    ("steps", "where"), [(6, "after epoch 1, after 6"), (7, "in epoch 2, after 7")]
)
def test_it_is_told_where_a_run_stopped(
    data: Dataset, tmp_path: Path, steps: int, where: str
) -> None:
    with pytest.raises(TrainingInterruptedError, match=f"^stopped {where} steps of the run$"):
        start(RECIPE, data, tmp_path / "c.h5", stop_after(steps)).run()


@pytest.mark.usefixtures("one_step_at_a_time")
def test_a_run_that_is_to_stop_after_its_last_step_is_done(data: Dataset, tmp_path: Path) -> None:
    run = start(RECIPE, data, tmp_path / "c.h5", stop_after(18))
    run.run()
    assert run.is_finished
    assert len(load_checkpoint(tmp_path / "c.h5").history) == 3


@pytest.mark.usefixtures("one_step_at_a_time")
@pytest.mark.parametrize("stop", [7, 9, 17])
def test_a_run_that_was_compacted_goes_on_as_it_was(
    data: Dataset, tmp_path: Path, stop: int
) -> None:
    recipe = replace(RECIPE, phases=(replace(PHASE, epochs=4),), threshold=-7.5, compact_every=1)
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    shapes: list[tuple[int, ...]] = []
    run = start(
        recipe,
        data,
        whole,
        Callbacks(on_step=lambda step: shapes.append(run.checkpoint.model.l1.W.shape)),
    )
    run.run()
    assert shapes[0] == (300, 64)
    assert shapes[stop - 1] < shapes[0]
    with pytest.raises(TrainingInterruptedError):
        start(recipe, data, parts, stop_after(stop)).run()
    assert load_checkpoint(parts).model.l1.W.shape == (300, 64)
    TrainingRun.resume(parts, data, CPU, Callbacks()).run()
    assert_same_parameters(parts, whole)


def test_several_steps_end_where_something_is_cut(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = Cut(0.5, compression=10.0), Cut(1.3, compression=20.0)
    recipe = replace(RECIPE, phases=(replace(PHASE, cuts=cuts),), compact_every=1)
    steps: list[int] = []
    start(recipe, data, tmp_path / "several.h5", Callbacks(on_step=steps.append)).run()
    assert {3, 8} <= set(steps)
    assert len(steps) < 18
    monkeypatch.setattr("vdprune.training.multi_step._MOST", 0)
    start(recipe, data, tmp_path / "single.h5").run()
    assert_same_parameters(tmp_path / "several.h5", tmp_path / "single.h5")


def test_compaction_can_be_left_out(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, threshold=-7.5, compact_every=0)
    shapes: list[tuple[int, ...]] = []
    run = start(
        recipe,
        data,
        tmp_path / "c.h5",
        Callbacks(on_step=lambda step: shapes.append(run.checkpoint.model.l1.W.shape)),
    )
    run.run()
    assert set(shapes) == {(300, 64)}


def test_a_finished_run_is_resumed_to_nothing(data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    start(RECIPE, data, path).run()
    before = path.read_bytes()
    run = TrainingRun.resume(path, data, CPU, Callbacks())
    assert run.is_finished
    run.run()
    assert path.read_bytes() == before


def test_batches_that_do_not_divide_the_data(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, batch_size=70)
    start(recipe, data, tmp_path / "c.h5").run()
    assert len(load_checkpoint(tmp_path / "c.h5").history) == 3


def test_the_best_epoch_is_kept_beside_the_last(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, phases=(replace(PHASE, epochs=6),), validation=60)
    start(recipe, data, tmp_path / "c.h5").run()
    history = load_checkpoint(tmp_path / "c.h5").history
    full = [row for row in history if row["kl_coef"] == 1]
    best = min(full, key=lambda row: (row["error"], -row["sparsity"]))
    kept = load_checkpoint(tmp_path / "c.best.h5")
    assert kept.history[-1]["epoch"] == best["epoch"] > 2
    with pytest.raises(FileFormatError, match="without the state of a training run"):
        TrainingRun.resume(tmp_path / "c.best.h5", data.hold_out(60), CPU, Callbacks())


def test_the_best_epoch_of_a_run_before_goes_with_that_run(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, validation=50)
    path, best = tmp_path / "c.h5", tmp_path / "c.best.h5"
    start(recipe, data, path).run()
    before = best.read_bytes()
    diverging = replace(PHASE, learning_rate=Schedule(((0, 1e30),)))
    with pytest.raises(NonFiniteLossError, match="no epoch was completed"):
        start(replace(recipe, phases=(diverging,)), data, path).run()
    assert best.read_bytes() == before
    start(RECIPE, data, path).run()
    assert not best.exists()


def test_without_validation_no_best_epoch_is_chosen(data: Dataset, tmp_path: Path) -> None:
    start(RECIPE, data, tmp_path / "c.h5").run()
    assert [path.name for path in tmp_path.iterdir()] == ["c.h5"]


@pytest.mark.usefixtures("one_step_at_a_time")
def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(data: Dataset, tmp_path: Path) -> None:
    run = start(RECIPE, data, tmp_path / "c.h5")
    model = run.checkpoint.model

    def spoil(iteration: int) -> None:
        if iteration == 8:
            model.l2.W.array[0, 0] = numpy.nan

    run = TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, Callbacks(on_step=spoil))
    with pytest.raises(
        NonFiniteLossError, match=r"iteration 9: 1 of .* W of layer l2 .*c.h5 is that of epoch 1"
    ):
        run.run()
    kept = load_checkpoint(tmp_path / "c.h5")
    assert len(kept.history) == 1
    assert all(numpy.isfinite(param.array).all() for param in kept.model.params())


def test_data_of_another_shape_is_refused(data: Dataset, tmp_path: Path) -> None:
    a = make_tiny_arrays()
    other = make_dataset(
        "other", (a["x_train"][..., :5], a["y_train"]), (a["x_test"][..., :5], a["y_test"])
    )
    checkpoint = start_checkpoint(RECIPE, "lenet300", data)
    with pytest.raises(ArgumentError, match=r"other has examples of shape \(1, 8, 5\) in 3"):
        TrainingRun(checkpoint, other, tmp_path / "c.h5", CPU, Callbacks())


def test_another_run_of_the_same_name_is_noticed(data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    first, second = start(RECIPE, data, path), start(replace(RECIPE, seed=5), data, path)
    first.run()
    written = path.read_bytes()
    with pytest.raises(
        FileWriteError, match=r"c\.h5 was changed while this run went on, perhaps by an"
    ):
        second.run()
    assert path.read_bytes() == written
    third = start(replace(RECIPE, seed=6), data, path)
    path.unlink()  # then there is nothing to be lost
    third.run()
    assert load_checkpoint(path).recipe["seed"] == 6


def test_the_best_network_of_another_run_of_the_same_name_stays(
    data: Dataset, tmp_path: Path
) -> None:
    phase = replace(PHASE, kl_weight=Schedule(((0, 1),)))  # the first epoch may be the best
    recipe = replace(RECIPE, phases=(phase,), validation=50)
    runs = [start(replace(recipe, seed=seed), data, tmp_path / "c.h5") for seed in (0, 1)]
    runs[0].run()
    best = (tmp_path / "c.best.h5").read_bytes()
    with pytest.raises(FileWriteError):
        runs[1].run()
    assert (tmp_path / "c.best.h5").read_bytes() == best


def test_a_batch_larger_than_the_data_is_refused(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, batch_size=301)
    with pytest.raises(ArgumentError, match="batch_size is 301, there are 300 training examples"):
        start(recipe, data, tmp_path / "c.h5")


def test_a_folder_that_is_not_there_is_refused_at_once(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileWriteError, match="there is no folder '.*nowhere'; make it"):
        start(RECIPE, data, tmp_path / "nowhere" / "c.h5")
