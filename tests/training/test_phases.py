"""Runs of several phases: what each does to the network, and that any of them can be interrupted."""

import itertools
from dataclasses import replace
from pathlib import Path

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer.iterators import SerialIterator
from chainer.training.updaters import StandardUpdater

from tests.conftest import make_tiny_arrays
from tests.training.test_trainer import assert_same_parameters, parameters, start, stop_after
from vdprune.archs import build_arch
from vdprune.augmentation import Augmentation
from vdprune.checkpoint import load_checkpoint
from vdprune.datasets import Dataset, make_dataset
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.schedule import Schedule
from vdprune.training.batches import ArrayBatches
from vdprune.training.callbacks import Callbacks
from vdprune.training.extensions import TrainingInterruptedError
from vdprune.training.lessons import Lessons
from vdprune.training.trainer import TrainingRun

# they look at the network at certain steps
pytestmark = pytest.mark.usefixtures("one_step_at_a_time")

CPU = chainer.get_device("@numpy")
STEPS = 6  # an epoch of 300 examples in batches of 50
DENSE = Phase("dense", 2, kind="dense")
VARIATIONAL = Phase(
    "variational", 3, kl_weight=Schedule(((0, 0), (1, 3))), prior="ard", noise=Schedule(((0, 0.5),))
)
WEIGHTS = 64 * 300 + 300 * 100 + 100 * 3


@pytest.fixture(scope="module")
def data() -> Dataset:
    a = make_tiny_arrays()
    return make_dataset("tiny", (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"]))


def recipe_of(*phases: Phase, **options: object) -> Recipe:
    return Recipe("tiny", phases, batch_size=50, theta_std=0.1).with_options(**options)


def nonzero(path: Path) -> int:
    return load_checkpoint(path).model.sparsity().nonzero


def test_a_dense_phase_is_what_chainer_does_alone(data: Dataset, tmp_path: Path) -> None:
    start(recipe_of(DENSE), data, tmp_path / "c.h5").run()
    numpy.random.seed(0)
    model = build_arch("lenet300", input_shape=(1, 8, 8), classes=3, theta_std=0.1)
    model.scaling.fit(data.train.x, 1 / 256)
    optimizer = chainer.optimizers.Adam().setup(model)
    iterator = SerialIterator(range(300), 50)
    updater = StandardUpdater(
        iterator,
        optimizer,
        converter=ArrayBatches(data.train.x, data.train.t),
        loss_func=lambda x, t: F.softmax_cross_entropy(model(x), t),
    )
    while updater.epoch < 2:
        updater.update()
    found = parameters(tmp_path / "c.h5")
    for name, param in model.namedparams():
        numpy.testing.assert_allclose(found[name], param.array, atol=2e-5, err_msg=name)


def test_a_dense_network_has_all_its_weights(data: Dataset, tmp_path: Path) -> None:
    start(recipe_of(DENSE), data, tmp_path / "c.h5").run()
    checkpoint = load_checkpoint(tmp_path / "c.h5")
    assert checkpoint.model.sparsity().nonzero == WEIGHTS
    assert [row["kl"] for row in checkpoint.history] == [0, 0]


def test_noise_begins_after_a_dense_phase(data: Dataset, tmp_path: Path) -> None:
    recipe = recipe_of(DENSE, VARIATIONAL, initial_log_sigma2=-9.0)
    seen: list[float] = []
    run = start(recipe, data, tmp_path / "c.h5")
    model = run.checkpoint.model

    def note(iteration: int) -> None:
        if iteration == 2 * STEPS + 1:
            seen.extend(model.l1.log_sigma2.array.ravel()[:100])
            assert (model.l1.prior, model.l1.noise_scale) == ("ard", 0.5)

    run = TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, Callbacks(on_step=note))
    run.run()
    numpy.testing.assert_allclose(seen, -9.0, atol=2e-3)  # one step of Adam away
    assert seen != [-9.0] * 100
    assert load_checkpoint(tmp_path / "c.h5").history[-1]["kl"] > 0


@pytest.mark.parametrize("masks", [None, True, False])
def test_masks_of_the_variance(data: Dataset, tmp_path: Path, masks: bool | None) -> None:
    run = start(recipe_of(replace(VARIATIONAL, mask_variance=masks)), data, tmp_path / "c.h5")
    run.run()
    assert run.checkpoint.model.l1.mask_variance is bool(masks)


def test_cuts_leave_so_many_weights(data: Dataset, tmp_path: Path) -> None:
    cuts = (Cut(0.5, compression=10.0), Cut(2.0, compression=20.0))
    left: list[int] = []
    run = start(recipe_of(replace(VARIATIONAL, cuts=cuts)), data, tmp_path / "c.h5")
    model = run.checkpoint.model
    callbacks = Callbacks(on_step=lambda _: left.append(model.sparsity().nonzero))
    TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, callbacks).run()
    # a cut comes before the next step, in which other weights may cross the threshold
    assert left[2] > WEIGHTS // 10 >= left[3] > WEIGHTS // 10 - 200
    assert left[11] > WEIGHTS // 20 >= left[12] > WEIGHTS // 20 - 200
    assert nonzero(tmp_path / "c.h5") <= WEIGHTS // 20


def test_a_cut_at_a_log_alpha(data: Dataset, tmp_path: Path) -> None:
    cut = Cut(1.0, threshold=-3.0)
    run = start(recipe_of(replace(VARIATIONAL, cuts=(cut,))), data, tmp_path / "c.h5")
    model, before = run.checkpoint.model, []

    def note(iteration: int) -> None:
        if iteration == STEPS:
            before.append(sum((link.log_alpha().array > -3).sum() for link in _links(model)))
        if iteration == STEPS + 1:
            dead = sum((link.W.array == 0).sum() for link in _links(model))
            assert dead == before[0] > 100

    recipe_run = TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, Callbacks(on_step=note))
    recipe_run.run()
    assert before


def _links(model: chainer.Chain) -> list[chainer.Link]:
    model.expand()
    return [link for _, link in model.named_variational_links()]


def test_cut_weights_stay_at_zero_in_fine_tuning(data: Dataset, tmp_path: Path) -> None:
    finetune = Phase("finetune", 2, kind="fine-tune")
    cut = replace(VARIATIONAL, cuts=(Cut(2.0, compression=15.0),))
    start(recipe_of(cut, finetune), data, tmp_path / "c.h5").run()
    rows = load_checkpoint(tmp_path / "c.h5").history
    assert rows[-1]["sparsity"] == rows[-2]["sparsity"] == rows[2]["sparsity"] > 0.93
    assert rows[-1]["class"] < rows[2]["class"]
    model = load_checkpoint(tmp_path / "c.h5").model
    for _, link in model.named_variational_links():
        numpy.testing.assert_array_equal(link.W.array != 0, link.kept())


def test_gradual_cuts_take_the_smallest_weights(data: Dataset, tmp_path: Path) -> None:
    gradual = Phase(
        "gradual",
        4,
        kind="fine-tune",
        cuts=(Cut(0.0, by="magnitude", compression=20.0, until=3.0, times=6),),
    )
    start(recipe_of(DENSE, gradual), data, tmp_path / "c.h5").run()
    rows = load_checkpoint(tmp_path / "c.h5").history
    # the third cut is at half of the way, before the step that follows it
    expected = [0.95 * (1 - (1 - p) ** 3) for p in (0, 0, 1 / 6, 3 / 6, 5 / 6, 1)]
    assert [row["sparsity"] for row in rows] == pytest.approx(expected, abs=1e-4)
    assert nonzero(tmp_path / "c.h5") == int(WEIGHTS / 20)


def assert_the_smaller_went_first(recipe: Recipe, data: Dataset, path: Path) -> None:
    """Run a recipe whose second phase begins with a cut that leaves a quarter of the weights."""
    run = start(recipe, data, path)
    model, before = run.checkpoint.model, []

    def note(iteration: int) -> None:
        if iteration == 2 * STEPS:
            before.extend(link.W.array.copy() for link in _links(model))
        if iteration == 2 * STEPS + 1:
            every = numpy.sort(numpy.concatenate([abs(W).ravel() for W in before]))
            limit = every[-(WEIGHTS // 4)]
            for link, W in zip(_links(model), before, strict=True):
                numpy.testing.assert_array_equal(link.kept(), abs(W) >= limit)

    TrainingRun(run.checkpoint, data, path, CPU, Callbacks(on_step=note)).run()
    assert before


def test_the_smallest_weights_of_all_layers_go_first(data: Dataset, tmp_path: Path) -> None:
    gradual = Phase("cut", 1, kind="fine-tune", cuts=(Cut(0.0, by="magnitude", compression=4.0),))
    assert_the_smaller_went_first(recipe_of(DENSE, gradual), data, tmp_path / "c.h5")


def test_a_phase_ends_with_all_its_cuts(data: Dataset, tmp_path: Path) -> None:
    """One that is due after the last step comes before it, so that the checkpoint has it."""
    cut = Cut(2.95, compression=10.0)
    run = start(recipe_of(replace(VARIATIONAL, cuts=(cut,))), data, tmp_path / "c.h5")
    run.run()
    assert nonzero(tmp_path / "c.h5") == run.checkpoint.model.sparsity().nonzero <= WEIGHTS // 10


@pytest.mark.parametrize("kind", ["variational", "fine-tune"])
def test_where_log_alpha_is_the_same_the_smaller_weights_go(
    data: Dataset, tmp_path: Path, kind: str
) -> None:
    second = Phase("cut", 1, kind=kind, cuts=(Cut(0.0, compression=4.0),))
    recipe = recipe_of(DENSE, second, initial_log_sigma2=-30.0)
    assert_the_smaller_went_first(recipe, data, tmp_path / "c.h5")


def test_noise_comes_back_after_fine_tuning(data: Dataset, tmp_path: Path) -> None:
    """What never had any gets that of the recipe, what had gets its own; what is cut stays cut."""
    finetune = Phase("finetune", 1, kind="fine-tune", cuts=(Cut(0, by="magnitude", compression=2),))
    phases = DENSE, finetune, replace(VARIATIONAL, epochs=1)
    run = start(recipe_of(*phases, initial_log_sigma2=-9.0), data, tmp_path / "c.h5")
    model = run.checkpoint.model

    def note(iteration: int) -> None:
        if iteration == 3 * STEPS + 1:
            for link in _links(model):
                is_cut = link.W.array == 0
                numpy.testing.assert_allclose(link.log_sigma2.array[~is_cut], -9, atol=2e-3)
                assert (link.log_alpha().array[is_cut] == 8).all()

    run = TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, Callbacks(on_step=note))
    run.run()
    assert nonzero(tmp_path / "c.h5") <= WEIGHTS / 2


def test_noise_that_was_learned_comes_back_as_it_was(data: Dataset, tmp_path: Path) -> None:
    """That of weights with the least log alpha there is, too."""
    phases = VARIATIONAL, Phase("finetune", 1, kind="fine-tune"), replace(VARIATIONAL, name="again")
    run = start(recipe_of(*phases, initial_log_sigma2=-9.0), data, tmp_path / "c.h5")
    model, seen = run.checkpoint.model, []
    learned = VARIATIONAL.epochs * STEPS

    def note(iteration: int) -> None:
        for link in _links(model):
            if iteration == learned:
                link.log_sigma2.array[...] = -30
            elif iteration == learned + STEPS + 1:
                seen.append(numpy.median(link.log_alpha().array))

    run = TrainingRun(run.checkpoint, data, tmp_path / "c.h5", CPU, Callbacks(on_step=note))
    run.run()
    assert max(seen) < -7.5  # -8 but for one step of Adam


MANY = recipe_of(
    DENSE,
    replace(VARIATIONAL, cuts=(Cut(1.0, compression=10.0), Cut(1.5, compression=15.0))),
    Phase(
        "finetune",
        2,
        kind="fine-tune",
        optimizer="momentum",
        cuts=(Cut(0.5, by="magnitude", compression=30.0, until=1.5, times=3),),
        augmentation=Augmentation(rotation=10.0, shift=1.0),
    ),
)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    start(replace(MANY, compact_every=1), data, path).run()
    return path


@pytest.mark.parametrize("steps", [5, 12, 13, 18, 21, 30, 33, 36])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    steps: int, data: Dataset, whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / "parts.h5"
    with pytest.raises(TrainingInterruptedError, match=f"after {steps} step"):
        start(replace(MANY, compact_every=1), data, path, stop_after(steps)).run()
    numpy.random.seed(99)
    run = TrainingRun.resume(path, data, CPU, Callbacks())
    assert run.iteration == steps
    run.run()
    assert_same_parameters(whole, path)
    assert len(load_checkpoint(path).history) == 7


@pytest.mark.parametrize("copies", [0, 2])
def test_a_teacher_is_listened_to(data: Dataset, tmp_path: Path, copies: int) -> None:
    """A teacher that knows nothing but class 1 makes the network say so, whatever the labels are."""
    teacher = build_arch("lenet300", input_shape=(1, 8, 8), classes=3, theta_std=1e-6)
    teacher.l3.b.array[...] = [0, 9, 0]
    recipe = replace(
        recipe_of(replace(VARIATIONAL, augmentation=Augmentation(shift=1.0)), copies=copies),
        teacher=Teacher(file="any.h5", weight=1.0),
    )
    checkpoint = start(recipe_of(DENSE), data, tmp_path / "c.h5").checkpoint
    run = TrainingRun(
        replace(checkpoint, recipe=_table(recipe)),
        data,
        tmp_path / "c.h5",
        CPU,
        Callbacks(),
        Lessons(data.train, recipe, tmp_path / "c.h5", teacher),
    )
    run.run()
    with chainer.using_config("train", False):
        found = run.checkpoint.model(data.test.x).array.argmax(axis=1)
    assert (found == 1).mean() > 0.9
    assert (tmp_path / "c.copies.h5").exists() == bool(copies)


def test_the_temperature_follows_its_schedule(data: Dataset, tmp_path: Path) -> None:
    """Where a phase has none it is the teacher's, also after one that has."""
    cooling = Schedule(((0.0, 4.0), (2.0, 2.0)))
    phases = [
        Phase("first", 1),
        Phase("second", 3, kind="fine-tune", temperature=cooling),
        Phase("third", 1),
    ]
    recipe = replace(
        recipe_of(*phases), teacher=Teacher(file="any.h5", weight=0.4, temperature=3.0)
    )
    found: list[tuple[float, float]] = []

    def note(iteration: int) -> None:
        settings = run.checkpoint.model.distillation
        assert settings is not None
        found.append((settings.temperature, settings.weight))

    teacher = build_arch("lenet300", input_shape=(1, 8, 8), classes=3)
    run = TrainingRun(
        replace(start(recipe_of(DENSE), data, tmp_path / "c.h5").checkpoint, recipe=_table(recipe)),
        data,
        tmp_path / "c.h5",
        CPU,
        Callbacks(on_step=note),
        Lessons(data.train, recipe, tmp_path / "c.h5", teacher),
    )
    run.run()
    # updates end where epochs do
    assert [t for t, _ in itertools.groupby(found)] == [(t, 0.4) for t in (3.0, 4.0, 3.0, 2.0, 3.0)]


def _table(recipe: Recipe) -> dict[str, object]:
    from vdprune.recipes.tables import to_table

    return to_table(recipe)
