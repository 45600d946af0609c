"""Training on a GPU: the same networks as on the CPU, resumed as exactly, without waiting in a step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest

from tests.conftest import make_tiny_arrays
from tests.training.test_trainer import (
    PHASE,
    RECIPE,
    assert_same_parameters,
    data,  # noqa: F401  a fixture
    parameters,
    stop_after,
)
from vdprune.archs.lenet300 import LeNet300
from vdprune.augmentation import Augmentation
from vdprune.checkpoint import load_checkpoint
from vdprune.datasets import Dataset, make_dataset
from vdprune.errors import DeviceError, NonFiniteLossError
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Teacher
from vdprune.recipes.schedule import Schedule
from vdprune.training.callbacks import Callbacks
from vdprune.training.extensions import RandomOnGpu, TrainingInterruptedError
from vdprune.training.lessons import Lessons
from vdprune.training.start import start_checkpoint
from vdprune.training.trainer import TrainingRun

pytestmark = pytest.mark.gpu

CPU = chainer.get_device("@numpy")
COMPACTED = replace(RECIPE, phases=(replace(PHASE, epochs=4),), compact_every=1)


def start(
    data: Dataset,  # noqa: F811
    out: Path,
    device: Any,
    recipe: Any = RECIPE,
    arch: str = "lenet300",
    callbacks: Callbacks | None = None,
) -> TrainingRun:
    checkpoint = start_checkpoint(recipe, arch, data)
    if recipe.compact_every == 1:  # units of the first layer are dead from the start
        checkpoint.model.l1.log_sigma2.array[100:] = 4
    return TrainingRun(checkpoint, data, out, device, callbacks or Callbacks())


def assert_close(a: Path, b: Path, tolerance: float) -> None:
    mine, theirs = parameters(a), parameters(b)
    assert mine.keys() == theirs.keys()
    for name, array in theirs.items():
        numpy.testing.assert_allclose(
            mine[name], array, rtol=0, atol=tolerance * abs(array).max(), err_msg=name
        )


def test_a_run_is_the_cpus(gpu: Any, data: Dataset, tmp_path: Path) -> None:  # noqa: F811
    start(data, tmp_path / "gpu.h5", gpu).run()
    start(data, tmp_path / "cpu.h5", CPU).run()
    assert_close(tmp_path / "gpu.h5", tmp_path / "cpu.h5", 1e-3)
    mine, theirs = (load_checkpoint(tmp_path / name).history for name in ("gpu.h5", "cpu.h5"))
    for my_row, their_row in zip(mine, theirs, strict=True):
        for name in ("loss", "class", "kl", "train_error", "sparsity", "learning_rate"):
            assert my_row[name] == pytest.approx(their_row[name], rel=1e-3), name


@pytest.mark.usefixtures("one_step_at_a_time")
def test_a_compacted_run_is_the_cpus(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    widths: dict[str, list[int]] = {}
    for name, device in (("gpu", gpu), ("cpu", CPU)):
        widths[name] = []
        runs: list[TrainingRun] = []

        def note(iteration: int, runs: Any = runs, widths: Any = widths[name]) -> None:
            widths.append(runs[0].checkpoint.model.l1.W.size)

        runs.append(
            start(data, tmp_path / f"{name}.h5", device, COMPACTED, callbacks=Callbacks(note))
        )
        runs[0].run()
    assert widths["gpu"] == widths["cpu"]
    assert min(widths["gpu"]) < max(widths["gpu"])
    assert_close(tmp_path / "gpu.h5", tmp_path / "cpu.h5", 1e-2)


def test_convolutions_run(gpu: Any, data: Dataset, tmp_path: Path) -> None:  # noqa: F811
    images = make_tiny_arrays()
    for part in ("train", "test"):
        images[f"x_{part}"] = numpy.kron(images[f"x_{part}"], numpy.ones((2, 2), numpy.uint8))
    large = make_dataset(
        "large",
        (images["x_train"][:40], images["y_train"][:40]),
        (images["x_test"][:10], images["y_test"][:10]),
    )
    recipe = replace(RECIPE.with_options(epochs=1), batch_size=20)
    for name, device in (("gpu", gpu), ("cpu", CPU)):
        start(large, tmp_path / f"{name}.h5", device, recipe, "lenet5").run()
    assert_close(tmp_path / "gpu.h5", tmp_path / "cpu.h5", 1e-3)


def test_phases_are_the_cpus(gpu: Any, data: Dataset, tmp_path: Path) -> None:  # noqa: F811
    recipe = replace(
        RECIPE,
        phases=(
            Phase("dense", 1, kind="dense"),
            replace(PHASE, prior="ard", noise=Schedule(((0, 0.5),)), cuts=(Cut(2, compression=8),)),
            Phase("finetune", 1, kind="fine-tune", cuts=(Cut(0.5, compression=9),)),
        ),
        teacher=Teacher(file="any.h5"),
    )
    phases = tuple(replace(p, augmentation=Augmentation(shift=1)) for p in recipe.phases)
    recipe = replace(recipe, phases=phases, copies=1)
    teacher = start_checkpoint(replace(RECIPE, seed=5), "lenet300", data).model
    for name, device in (("gpu", gpu), ("cpu", CPU)):
        teacher.to_device(device)
        path = tmp_path / f"{name}.h5"
        lessons = Lessons(data.train, recipe, path, teacher)
        checkpoint = start_checkpoint(recipe, "lenet300", data)
        TrainingRun(checkpoint, data, path, device, Callbacks(), lessons).run()
    assert_close(tmp_path / "gpu.h5", tmp_path / "cpu.h5", 1e-2)
    sparsity = load_checkpoint(tmp_path / "gpu.h5").model.sparsity()
    assert sparsity.nonzero <= sparsity.weights / 9


@pytest.mark.parametrize("steps", [6, 9], ids=["after an epoch", "in an epoch"])
@pytest.mark.parametrize("recipe", [RECIPE, COMPACTED], ids=["whole", "compacted"])
def test_a_resumed_run_ends_where_it_would_have(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
    recipe: Any,
    steps: int,
) -> None:
    start(data, tmp_path / "whole.h5", gpu, recipe).run()
    with pytest.raises(TrainingInterruptedError):
        start(data, tmp_path / "parts.h5", gpu, recipe, callbacks=stop_after(steps)).run()
    numpy.random.seed(99)
    TrainingRun.resume(tmp_path / "parts.h5", data, gpu, Callbacks()).run()
    assert_same_parameters(tmp_path / "whole.h5", tmp_path / "parts.h5")
    whole, parts = (load_checkpoint(tmp_path / name).history for name in ("whole.h5", "parts.h5"))
    for mine, theirs in zip(parts, whole, strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


@pytest.mark.usefixtures("one_step_at_a_time")
@pytest.mark.parametrize("begins_on_gpu", [True, False])
def test_a_run_goes_on_on_the_other_device(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
    begins_on_gpu: bool,
) -> None:
    first, second = (gpu, CPU) if begins_on_gpu else (CPU, gpu)
    start(data, tmp_path / "whole.h5", CPU, COMPACTED).run()
    with pytest.raises(TrainingInterruptedError):
        start(data, tmp_path / "parts.h5", first, COMPACTED, callbacks=stop_after(15)).run()
    TrainingRun.resume(tmp_path / "parts.h5", data, second, Callbacks()).run()
    assert_close(tmp_path / "parts.h5", tmp_path / "whole.h5", 1e-2)


@pytest.fixture
def second_gpu(gpu: Any) -> Any:
    """A GPU that is not the current one."""
    if gpu.xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    return chainer.get_device("@cupy:1")


def test_a_run_on_another_gpu_than_the_current_one(
    second_gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    start(data, tmp_path / "gpu.h5", second_gpu, COMPACTED).run()
    start(data, tmp_path / "cpu.h5", CPU, COMPACTED).run()
    assert_close(tmp_path / "gpu.h5", tmp_path / "cpu.h5", 1e-2)


def test_a_network_that_ran_out_of_memory_is_whole(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    run: Any = None

    def run_out(iteration: int) -> None:
        if iteration == 8:
            raise gpu.xp.cuda.memory.OutOfMemoryError(10, 10)

    run = start(data, tmp_path / "c.h5", gpu, COMPACTED, callbacks=Callbacks(run_out))
    with pytest.raises(DeviceError, match="out of memory"):
        run.run()
    model = run.checkpoint.model
    assert model.l1.W.shape == (300, 64)
    model.to_device(CPU)
    assert model.l1.W.shape == (300, 64)


def test_a_run_ends_with_the_epoch_of_such_a_loss(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    run: Any = None

    def ruin(iteration: int) -> None:
        if iteration == 8:
            run.checkpoint.model.l1.W.array[0, 0] = numpy.nan

    run = start(data, tmp_path / "c.h5", gpu, callbacks=Callbacks(ruin))
    with pytest.raises(NonFiniteLossError, match=r"iteration 9: .*c.h5 is that of epoch 1\)"):
        run.run()
    assert len(load_checkpoint(tmp_path / "c.h5").history) == 1


def test_cupys_generator_is_seeded_from_numpys_state(gpu: Any) -> None:
    extension, drawn = RandomOnGpu(), []
    for seed in (1, 1, 2):
        numpy.random.seed(seed)
        before = numpy.random.get_state()[1].copy()
        extension.initialize(None)
        numpy.testing.assert_array_equal(numpy.random.get_state()[1], before)
        drawn.append(gpu.xp.random.standard_normal(5).get())
    numpy.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_layers_that_draw_with_cupy_resume_after_an_epoch(
    gpu: Any,
    data: Dataset,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = LeNet300.forward
    monkeypatch.setattr(LeNet300, "forward", lambda model, x: F.dropout(forward(model, x), 0.2))
    start(data, tmp_path / "whole.h5", gpu).run()
    with pytest.raises(TrainingInterruptedError):
        start(data, tmp_path / "parts.h5", gpu, callbacks=stop_after(6)).run()
    gpu.xp.random.seed(5)
    TrainingRun.resume(tmp_path / "parts.h5", data, gpu, Callbacks()).run()
    assert_same_parameters(tmp_path / "whole.h5", tmp_path / "parts.h5")
