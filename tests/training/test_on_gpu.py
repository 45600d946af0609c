"""Training on a GPU: the same networks as on the CPU, resumed as exactly, without waiting in a step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import Link, Parameter, optimizer_hooks
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater

from tests.conftest import make_tiny_arrays
from tests.training.test_trainer import (
    PHASE,
    RECIPE,
    assert_same_parameters,
    data,  # noqa: F401  a fixture
    parameters,
    stop_after,
)
from vdprune import Adam, ArrayBatches, VariationalDropoutChain, VariationalDropoutLinear
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


class Net(VariationalDropoutChain):
    def __init__(self) -> None:
        super().__init__(num_train=300, warm_up=0.1, statistics_interval=5)
        with self.init_scope():
            self.l1 = VariationalDropoutLinear(64, 20)
            self.l2 = VariationalDropoutLinear(20, 3)

    def forward(self, x: Any) -> Any:
        return self.l2(F.relu(self.l1(x.reshape(len(x), -1))))


def make_updater(model: Net, device: Any) -> Any:
    arrays = make_tiny_arrays()
    x, t = arrays["x_train"].astype("f4") / 256, arrays["y_train"].astype("i4")
    model.to_device(device)
    return StandardUpdater(
        SerialIterator(range(len(x)), 50),
        Adam().setup(model),
        converter=ArrayBatches(x, t),
        device=device,
        loss_func=model.calc_loss,
    )


def test_a_users_own_updater(gpu: Any) -> None:
    found = []
    for device in (CPU, gpu):
        numpy.random.seed(0)
        model = Net()
        updater = make_updater(model, device.name)
        for _ in range(7):
            updater.update()
        model.to_device(CPU)
        found.append({name: param.array for name, param in model.namedparams()})
    for name, array in found[0].items():
        numpy.testing.assert_allclose(found[1][name], array, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_is_found_out(gpu: Any) -> None:
    """At the next look, with the number of the step; parameters are ruined by then."""
    model = Net()
    updater = make_updater(model, gpu)
    for step in range(1, 8):
        if step == 3:
            model.l1.W.array[0, 0] = numpy.nan
        if step == 6:
            with pytest.raises(NonFiniteLossError, match=r"at iteration 3: .* of layer l") as info:
                updater.update()
            break
        updater.update()
    assert "\n" not in str(info.value)
    model.check_losses()  # it has been told of


def test_a_label_that_is_no_class_is_found_out(gpu: Any) -> None:
    model = Net()
    model.to_device(gpu)
    model.calc_loss(gpu.xp.ones((2, 64), "f4"), gpu.xp.asarray(numpy.array([0, 1], "i4")))
    model.calc_loss(gpu.xp.ones((2, 64), "f4"), gpu.xp.asarray(numpy.array([0, 3], "i4")))
    with pytest.raises(
        NonFiniteLossError, match=r"iteration 2, .* look for labels that are no class"
    ):
        model.check_losses()


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


def test_a_users_updater_on_another_gpu_than_the_current_one(gpu: Any, second_gpu: Any) -> None:
    model = Net()
    updater = make_updater(model, second_gpu)
    for _ in range(6):
        updater.update()
    with chainer.using_device(second_gpu):
        model.l1.W.array[0, 0] = numpy.nan
    updater.update()
    with pytest.raises(NonFiniteLossError, match="iteration 7"):
        model.check_losses()
    assert gpu.xp.cuda.Device().id == 0


def test_training_goes_on_after_a_move(gpu: Any, second_gpu: Any) -> None:
    """A compacted network and its optimizer's state go from device to device."""
    found = []
    for devices in ([CPU] * 4, [CPU, gpu, second_gpu, CPU]):
        numpy.random.seed(0)
        model = Net()
        model.l1.log_sigma2.array[5:] = 4
        optimizer = Adam().setup(model)
        x, t = numpy.random.rand(50, 64).astype("f4"), numpy.arange(50, dtype="i4") % 3
        for device in devices:
            model.to_device(device)
            for _ in range(3):
                optimizer.update(model.calc_loss, device.send(x), device.send(t))
            if device is devices[0]:
                model.compact(model.find_compaction())
            optimizer.update(model.calc_loss, device.send(x), device.send(t))
            assert model.l1.W.shape == (5, 64)
        model.to_device(CPU)
        assert model.l1.W.shape == (20, 64)
        found.append({name: param.array for name, param in model.namedparams()})
    for name, array in found[0].items():
        numpy.testing.assert_allclose(found[1][name], array, rtol=1e-2, atol=1e-3)


def test_an_interrupted_update_is_finished(gpu: Any) -> None:
    """Parameters that waited for their launch when something came in between."""
    link = make_link(gpu)
    optimizer = Adam().setup(link)
    for param in link.params():
        param.grad = gpu.xp.ones_like(param.array)
    before = {name: param.array.get() for name, param in link.namedparams()}

    class Stops(chainer.optimizers.adam.AdamRule):
        def update(self, param: Any) -> None:
            raise KeyboardInterrupt

    link.unused.update_rule = Stops(optimizer.hyperparam)
    with pytest.raises(KeyboardInterrupt):
        optimizer.update()
    for name, param in link.namedparams():
        if param.update_rule.t:
            assert (param.array.get() != before[name]).all(), name


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


def make_link(device: Any, dtype: str = "f8") -> Link:
    link = Link()
    with link.init_scope():
        link.W = Parameter(numpy.linspace(-1, 1, 60, dtype=dtype).reshape(6, 10))
        link.b = Parameter(numpy.linspace(1, 2, 7, dtype=dtype))
        link.unused = Parameter(numpy.ones(3, dtype))
    link.to_device(device)
    return link


@pytest.mark.parametrize("hook", [None, "pre", "post"])
@pytest.mark.parametrize("options", [{}, {"weight_decay_rate": 0.1}, {"amsgrad": True}], ids=str)
def test_adam_takes_chainers_steps(gpu: Any, options: dict[str, Any], hook: str | None) -> None:
    found = []
    for kind, device in ((chainer.optimizers.Adam, CPU), (Adam, gpu)):
        link = make_link(device)
        optimizer = kind(**options).setup(link)
        if hook == "pre":
            optimizer.add_hook(optimizer_hooks.WeightDecay(0.1))
        if hook == "post":  # which sees what the update has made of the parameters
            optimizer.add_hook(Halve())
        for step in range(5):
            link.cleargrads()
            for param in (link.W, link.b):
                param.grad = device.xp.cos(param.array * (step + 3))
            optimizer.update()
        found.append([CPU.send(param.array) for _, param in sorted(link.namedparams())])
    for mine, theirs in zip(found[1], found[0], strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12)


class Halve:
    name = "Halve"
    timing = "post"
    call_for_each_param = False

    def __call__(self, optimizer: Any) -> None:
        for param in optimizer.target.params():
            param.array[...] *= 0.5


def test_an_update_of_one_parameter_alone_happens_at_once(gpu: Any) -> None:
    link = make_link(gpu)
    Adam().setup(link)
    link.W.grad = gpu.xp.ones_like(link.W.array)
    before = link.W.array.get()
    link.W.update()
    assert (link.W.array.get() != before).all()


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
