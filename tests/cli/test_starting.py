"""Runs with a teacher that are begun, interrupted and taken up, in the tests' own process."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import h5py
import numpy
import pytest
from scipy.special import log_softmax

from vdprune.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdprune.cli.progress import Progress
from vdprune.cli.starting import Order, resume_run, start_run
from vdprune.datasets import load_dataset
from vdprune.errors import ArgumentError, FileFormatError, FileWriteError
from vdprune.pruning import prune
from vdprune.recipes.files import load_recipe
from vdprune.training import warped_copies
from vdprune.training.extensions import TrainingInterruptedError
from vdprune.training.finetuning import finetuned_checkpoint
from vdprune.training.start import start_checkpoint
from vdprune.training.teacher_logits import compute_logits
from vdprune.training.trainer import TrainingRun

TAUGHT = """
name = "taught"
copies = 2
teacher = { arch = "lenet300", recipe = "tutor.toml" }

[[phases]]
name = "sparsify"
epochs = 2
augmentation = { shift = 1.0, probability = 0.5 }
"""
TUTOR = """
name = "tutor"

[[phases]]
name = "dense"
kind = "dense"
epochs = 2
"""
CPU = chainer.get_device("@numpy")
OUT, TEACHER, COPIES = map(Path, ("checkpoint.h5", "checkpoint.teacher.h5", "checkpoint.copies.h5"))


@pytest.fixture
def order(tmp_path: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/bin/vdprune", "train", "--recipe", "my own.toml"])
    Path("taught.toml").write_text(TAUGHT)
    Path("tutor.toml").write_text(TUTOR)
    return Order(OUT, dataset=str(tiny_npz), recipe="taught.toml")


def prepare(
    begin: Callable[..., TrainingRun], order: Order, stop: Callable[[], bool] = lambda: False
) -> TrainingRun:
    """Begin a run or take one up; SIGTERM comes once ``stop`` says so."""
    received: list[int] = []

    def should_stop() -> bool:
        if stop():
            received[:] = [signal.SIGTERM]
        return bool(received)

    return begin(order, CPU, Progress(False, should_stop), received)


@pytest.fixture
def stopped(order: Order) -> Order:
    """A run that was stopped after its first step, its teacher trained."""
    stop: list[bool] = []
    run = prepare(start_run, order, lambda: bool(stop))
    stop.append(True)
    with pytest.raises(TrainingInterruptedError):
        run.run()
    return replace(order, recipe=None, dataset=None)  # `--resume` alone


@pytest.fixture
def network(tiny_npz: Path) -> Checkpoint:
    """An untrained network that half of the weights are nothing but noise of."""
    paper, data = load_recipe("paper", "lenet300"), load_dataset(str(tiny_npz))
    checkpoint = start_checkpoint(paper, "lenet300", data)
    for _, link in checkpoint.model.named_variational_links():
        link.log_sigma2.array[:, ::2] = 4
    return checkpoint


def test_what_was_interrupted_before_the_first_step_goes_on(
    order: Order, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    how = "go on with the same command, `vdprune train --recipe 'my own.toml'`"
    steps = iter([False, True])
    with pytest.raises(SystemExit) as exit_:
        prepare(start_run, order, lambda: next(steps))
    last = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 143
    assert last.endswith(
        f"stopped in epoch 1, after 2 steps of the run; {TEACHER} is written, {how}"
    )

    with pytest.raises(ArgumentError, match=f"only its teacher's in {TEACHER}, and .* paper"):
        prepare(resume_run, replace(order, recipe=None))

    asked: list[bool] = []
    compute_logits = warped_copies.compute_logits

    def ask(*args: Any) -> Any:
        asked.append(True)
        return compute_logits(*args)

    monkeypatch.setattr(warped_copies, "compute_logits", ask)
    with pytest.raises(SystemExit) as exit_:
        prepare(resume_run, order, lambda: bool(asked))
    *lines, last = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 143
    assert "going on after 2 steps" in lines
    assert lines[-1] == (
        "making 2 changed copies of the training images, with the teacher's answers to them, into "
        f"{COPIES}"
    )
    assert last == (
        "vdprune: stopped while the changed copies of the training images were made, which will be "
        f"made again; the teacher in {TEACHER}, which is done, is kept; {how}"
    )
    assert not COPIES.exists()

    run = prepare(resume_run, order)
    lines = capsys.readouterr().err.splitlines()
    assert (run.iteration, run.recipe.name) == (0, "taught")
    assert lines[0] == f"the teacher in {TEACHER} is trained already"
    assert [line.split(" after ")[0] for line in lines[2:-1]] == ["25 %", "50 %", "75 %", "100 %"]
    assert lines[-1] == f"changed copies of the training images are kept in {COPIES}"


def test_nothing_to_go_on_with(order: Order) -> None:
    with pytest.raises(ArgumentError, match=r"no run in 'checkpoint.h5' to .*: leave --resume out"):
        prepare(resume_run, order)


@pytest.mark.usefixtures("one_step_at_a_time")
def test_the_teacher_is_taken_as_it_is_whatever_became_of_its_recipe(
    stopped: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tutor.toml").write_text(TUTOR.replace("epochs = 2", "epochs = 3"))
    run = prepare(resume_run, stopped)
    assert "trained again" not in capsys.readouterr().err
    Progress(False, lambda: False).begin(run)
    assert "going on after 1 step\n" in capsys.readouterr().err


@pytest.mark.usefixtures("one_step_at_a_time")
def test_a_teacher_that_is_missing_is_trained_again(
    stopped: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    before = COPIES.read_bytes()
    TEACHER.unlink()
    steps = iter([True])
    with pytest.raises(SystemExit):
        prepare(resume_run, stopped, lambda: next(steps))
    assert f"{TEACHER}, the teacher of the run in {OUT}, is missing" in capsys.readouterr().err
    assert prepare(resume_run, stopped).iteration == 1
    assert f"{TEACHER}, the teacher of the run in {OUT}, is only begun" in capsys.readouterr().err

    TEACHER.unlink()
    Path("tutor.toml").write_text(TUTOR.replace("epochs = 2", "epochs = 1"))
    for _ in range(2):  # trained to another end, then found as it is
        with pytest.raises(
            ArgumentError, match=rf"{TEACHER}: the teacher is not the one .* {OUT} began with: its"
        ):
            prepare(resume_run, stopped)
    assert COPIES.read_bytes() == before


@pytest.mark.usefixtures("one_step_at_a_time")
def test_several_teachers_are_trained_one_after_the_other(
    order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interruption in the second one, the first step of the run, a second one that is missing."""
    order = replace(order, set=("teacher.networks=2",))
    second = Path("checkpoint.teacher2.h5")
    with pytest.raises(SystemExit):
        prepare(start_run, order, second.exists)
    assert f"{second} is written, go on with the same command" in capsys.readouterr().err
    only_begun = second.read_bytes()

    stop: list[bool] = []
    run = prepare(resume_run, order, lambda: bool(stop))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"the teacher in {TEACHER} is trained already"
    assert f"training teacher 2 of 2 first, into {second}" in lines
    stop.append(True)
    with pytest.raises(TrainingInterruptedError):
        run.run()
    teachers = [load_checkpoint(path) for path in (TEACHER, second)]
    assert [teacher.recipe["seed"] for teacher in teachers] == [0, 65_536]
    seconds = [row["seconds"] for teacher in teachers for row in teacher.history]
    assert load_checkpoint(OUT).preparation > sum(seconds)
    networks = [teacher.model for teacher in teachers]
    x = load_dataset(order.dataset or "").train.x
    apart = [log_softmax(compute_logits(network, x), axis=1) for network in networks]
    assert not numpy.allclose(*apart, atol=1e-3)
    with h5py.File(COPIES) as copies:
        found = copies["plain_logits"][...]
    numpy.testing.assert_allclose(found, numpy.mean(apart, axis=0), atol=1e-5)

    second.unlink()
    alone = replace(order, recipe=None, dataset=None, set=())  # `--resume` alone
    again = prepare(resume_run, alone)
    words = capsys.readouterr().err
    assert f"the teacher in {TEACHER} is trained already" in words
    assert f"{second}, the teacher of the run in {OUT}, is missing: it is trained again" in words
    assert again.iteration == 1
    second.write_bytes(only_begun)
    assert prepare(resume_run, alone).iteration == 1
    words = capsys.readouterr().err
    assert f"{second}, the teacher of the run in {OUT}, is only begun: it is trained on" in words
    second.write_bytes(TEACHER.read_bytes())
    with pytest.raises(
        ArgumentError, match=f"{TEACHER}, {second}: the teacher, one of them .*, is not the one"
    ):
        prepare(resume_run, alone)
    second.write_bytes(TEACHER.read_bytes()[:5000])
    for begin, how in ((start_run, replace(order, overwrite=True)), (resume_run, alone)):
        with pytest.raises(FileFormatError, match=f"{second}.*remove it to have that teacher"):
            prepare(begin, how)


def test_what_a_second_teacher_would_be_written_over(order: Order, network: Checkpoint) -> None:
    save_checkpoint("checkpoint.teacher2.h5", network)
    order = replace(order, init=Path("checkpoint.teacher2.h5"))
    prepare(start_run, order)
    with pytest.raises(ArgumentError, match="teacher2.h5 would be written over"):
        prepare(start_run, replace(order, set=("teacher.networks=2",), overwrite=True))


def test_a_teacher_of_ones_own_that_is_damaged_or_missing(
    order: Order, network: Checkpoint
) -> None:
    """Nobody trains it again, and so nobody is told to remove it."""
    save_checkpoint("tutor.h5", network)
    order = replace(order, teacher=Path("tutor.h5"), set=("copies=0",))
    stop: list[bool] = []
    run = prepare(start_run, order, lambda: bool(stop))
    stop.append(True)
    with pytest.raises(TrainingInterruptedError):
        run.run()
    Path("tutor.h5").write_bytes(Path("tutor.h5").read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="tutor.h5") as error:
        prepare(resume_run, order)
    assert "remove it" not in str(error.value)
    Path("tutor.h5").unlink()
    with pytest.raises(FileFormatError, match="learns from a teacher in 'tutor.h5', and there is"):
        prepare(resume_run, order)


def test_too_many_copies_are_refused_before_the_teacher_is_trained(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysconf, small = os.sysconf, {"SC_PHYS_PAGES": 8, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", lambda name: small.get(name) or sysconf(name))
    prepare(start_run, replace(order, set=("copies=1",)))  # 300 images of 64 bytes
    TEACHER.unlink()
    with pytest.raises(ArgumentError, match=r"copies is 2: .* 0\.0 GB of memory, this machine has"):
        prepare(start_run, order)
    assert not TEACHER.exists()


@pytest.mark.parametrize(
    ("recipe", "fate"),
    [
        ("paper", "stay there"),
        ("dense", "are trained like the others, for the phase dense is dense"),
    ],
)
def test_what_becomes_of_weights_that_are_cut(
    order: Order, network: Checkpoint, capsys: pytest.CaptureFixture[str], recipe: str, fate: str
) -> None:
    init = Path("pruned.h5")
    pruned = prune(network, 3.0)
    save_checkpoint(init, pruned)
    zeros = sum((link.W.array == 0).sum() for _, link in pruned.model.named_variational_links())
    run = prepare(start_run, replace(order, recipe=recipe, init=init, epochs=1, batch_size=100))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{zeros:,} of 49,500 weights in {init} are cut: they start at zero and {fate}"
    cut = run.checkpoint.model.l1.W.array == 0
    run.run()
    assert (run.checkpoint.model.l1.masked_W().array[cut] == 0).all() == (recipe == "paper")


def test_nothing_is_said_of_weights_that_are_not_cut(
    order: Order, tiny_npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_dataset(str(tiny_npz))
    save_checkpoint(
        "dense.h5", start_checkpoint(load_recipe("dense", "lenet300"), "lenet300", data)
    )
    prepare(start_run, replace(order, recipe="paper", init=Path("dense.h5")))
    assert capsys.readouterr().err == ""


def test_epochs_after_a_training_are_numbered_on(
    tmp_path: Path, tiny_npz: Path, network: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    network = replace(network, history=[{"epoch": 1.0}, {"epoch": 2.0}])
    checkpoint = finetuned_checkpoint(prune(network, 3.0), 2)
    progress = Progress(False, lambda: False)
    data = load_dataset(str(tiny_npz))
    progress.begin(TrainingRun(checkpoint, data, tmp_path / "a.h5", CPU, progress.callbacks))
    progress.end()
    assert "2 epochs of training came before: those of this run are numbered from 3 on" in (
        capsys.readouterr().err
    )


def test_what_another_run_wrote_while_the_teacher_was_trained_stays(order: Order) -> None:
    begun: list[Path] = []

    def write_it_once() -> bool:
        if not begun and TEACHER.exists():
            begun.append(OUT)
            prepare(start_run, replace(order, recipe="tutor.toml")).run()
        return False

    with pytest.raises(FileWriteError, match=r"checkpoint\.h5 was changed while this run went on"):
        prepare(start_run, order, write_it_once)
    assert begun == [OUT]
    assert load_checkpoint(OUT).recipe["name"] == "tutor"
