"""The `vdprune` command: help, version, what it imports, and the chain of its subcommands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy
import pytest

import vdprune
from tests.conftest import Run, recipe_options
from vdprune.cli.main import cli

COMMANDS = (
    "train",
    "prune",
    "eval",
    "export",
    "convert",
    "inspect",
    "bench",
    "sweep",
    "plot",
    "report",
)
HEAVY_MODULES = {"chainer", "numpy", "scipy", "h5py", "cupy", "numba"}
PRUNE_KEYS = {
    "file",
    "kind",
    "arch",
    "dataset",
    "weights",
    "nonzero",
    "sparsity",
    "compression",
    "threshold",
    "layers",
}
EVAL_KEYS = PRUNE_KEYS | {"examples", "error", "accuracy", "loss"}


def _modules_loaded_by(script: str) -> set[str]:
    """Run a script and tell which of the packages that are slow to import it has loaded."""
    report = f"import sys\nprint(*({HEAVY_MODULES!r} & sys.modules.keys()), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", f"{script}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(result.stderr.split())


def _documented_parameters() -> list[tuple[str, click.Command, click.Parameter]]:
    commands = {"vdprune": cli, **cli.commands}
    return [
        (name, command, parameter)
        for name, command in commands.items()
        for parameter in command.get_params(click.Context(command, info_name=name))
    ]


def test_version_is_the_packages(run: Run) -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"vdprune {vdprune.__version__}\n")
    assert result.stderr == ""


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_goes_to_stdout(run: Run, command: str, flag: str) -> None:
    arguments = [command] if command else []
    result = run(*arguments, flag)
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: " + " ".join(["vdprune", *arguments]))
    assert result.stderr == ""


def test_help_lists_every_command_with_a_text(run: Run) -> None:
    lines = [line.split() for line in run("--help").stdout.splitlines()]
    described = {words[0] for words in lines if len(words) > 3}
    assert set(COMMANDS) == set(cli.commands)
    assert set(COMMANDS) <= described


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_help_text(name: str) -> None:
    assert cli.commands[name].help
    assert cli.commands[name].get_short_help_str().endswith(".")


@pytest.mark.parametrize(
    ("command", "parameter"),
    [
        pytest.param(command, parameter, id=f"{name} {parameter.opts[0]}")
        for name, command, parameter in _documented_parameters()
    ],
)
def test_option_has_a_help_text(command: click.Command, parameter: click.Parameter) -> None:
    if isinstance(parameter, click.Option):
        assert parameter.help
    else:
        assert f"{parameter.human_readable_name} is " in str(command.help)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([command, "-h"] for command in COMMANDS)], ids=str
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from vdprune.cli.main import main\n"
        f"sys.argv = ['vdprune', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
    )
    assert _modules_loaded_by(script) == set()


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert _modules_loaded_by("import vdprune") == set()


def test_a_variable_that_is_no_option_is_named(run: Run) -> None:
    known = {"VDPRUNE_TRAIN_EPOCHS": "3", "VDPRUNE_TRACEBACK": "1", "VDPRUNE_EVAL_QUIET": "1"}
    result = run("--version", env={**known, "VDPRUNE_TRAIN_EPOCSH": "3"})
    assert result.returncode == 0
    assert result.stderr == (
        "vdprune: VDPRUNE_TRAIN_EPOCSH is set, but there is no such option; did you mean "
        "VDPRUNE_TRAIN_EPOCHS?\n"
    )
    for name in ("VDPRUNE_FOO_X", "VDPRUNE_EVAL_FILE"):
        told = run("--version", env={name: "3"}).stderr
        assert told == f"vdprune: {name} is set, but there is no such option\n"


def test_where_a_refused_value_is_set_is_told(run: Run, tmp_path: Path) -> None:
    typed = run("train", "--threads", "0")
    assert "set in" not in typed.stderr
    result = run("train", env={"VDPRUNE_TRAIN_THREADS": "0"})
    assert result.returncode == 2
    assert (
        "(set in the environment, VDPRUNE_TRAIN_THREADS; `vdprune train -h` shows" in result.stderr
    )
    (tmp_path / "c.toml").write_text("threads = 0", encoding="utf-8")
    result = run("train", "--config", "c.toml")
    assert result.returncode == 2
    assert "(set in c.toml; `vdprune train -h` shows" in result.stderr


def test_traceback_is_there_for_who_asks(run: Run) -> None:
    assert "Traceback" not in run("eval", "nothing.h5").stderr
    assert "Traceback" in run("eval", "nothing.h5", env={"VDPRUNE_TRACEBACK": "1"}).stderr


def test_no_arguments_show_the_help(run: Run) -> None:
    result = run()
    assert result.returncode == 2
    assert "Commands:" in result.stdout + result.stderr


def test_unknown_command_is_wrong_usage(run: Run) -> None:
    result = run("shrink")
    assert (result.returncode, result.stdout) == (2, "")
    assert "No such command 'shrink'" in result.stderr


@pytest.mark.parametrize(
    ("arch", "pixels"), [("lenet300", 1), ("lenet5", 2)], ids=["lenet300", "lenet5"]
)
def test_chain_works_as_typed(
    run: Run, tmp_path: Path, tiny_npz: Path, arch: str, pixels: int
) -> None:
    dataset = _enlarge(tiny_npz, tmp_path / "images.npz", pixels)
    recipe = recipe_options(2, 100, kl_weight=(1, 20), theta_std=0.1)
    train = run("train", "--arch", arch, "--dataset", dataset, *recipe)
    steps = [
        train,
        run("prune", "--threshold", "3.0"),
        run("eval", "checkpoint.h5"),
        run("eval", "pruned.h5"),
        run("export"),
        run("eval", "weights.h5"),
    ]
    assert [step.returncode for step in steps] == [0] * 6, [step.stderr for step in steps]
    assert {"checkpoint.h5", "pruned.h5", "weights.h5"} == {
        path.name for path in tmp_path.iterdir() if path.name != "images.npz"
    }
    of_checkpoint, of_pruned, of_weights = (steps[i].stdout.splitlines() for i in (2, 3, 5))
    assert of_checkpoint[0] == f"checkpoint.h5: checkpoint, {arch}"
    assert of_pruned[0] == f"pruned.h5: pruned, {arch}"
    assert of_weights[0] == f"weights.h5: weights, {arch}"
    assert of_checkpoint[1].startswith("error ")
    assert of_checkpoint[1:] == of_pruned[1:]
    # a weight file knows what is left, and no log alpha
    assert of_weights[1:] == [line.removesuffix(" at log alpha <= 3") for line in of_pruned[1:]]
    assert train.stdout.splitlines()[1:-1] == of_checkpoint[1:]
    assert "(weights of the variational layers; biases not counted)" in of_checkpoint


def _enlarge(source: Path, target: Path, pixels: int) -> Path:
    with numpy.load(source) as arrays:
        numpy.savez(
            target,
            **{
                name: array.repeat(pixels, 2).repeat(pixels, 3) if array.ndim == 4 else array
                for name, array in arrays.items()
            },
        )
    return target


@pytest.mark.parametrize(
    ("arguments", "keys", "kind"),
    [
        pytest.param(
            "train --dataset {data} --epochs 1 --batch-size 100 --out new.h5",
            EVAL_KEYS | {"epochs", "seconds", "preparation_seconds"},
            "checkpoint",
            id="train",
        ),
        pytest.param("prune {trained}/checkpoint.h5", PRUNE_KEYS, "pruned", id="prune"),
        pytest.param("eval {trained}/weights.h5", EVAL_KEYS, "weights", id="eval"),
        pytest.param(
            "export {trained}/pruned.h5",
            PRUNE_KEYS | {"format", "dtype", "bytes", "dense_bytes"},
            "weights",
            id="export",
        ),
    ],
)
def test_json_is_one_consistent_object(
    run: Run, trained: Path, tiny_npz: Path, arguments: str, keys: set[str], kind: str
) -> None:
    words = [word.format(trained=trained, data=tiny_npz) for word in arguments.split()]
    result = run(*words, "--json", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert set(found) == keys
    assert (found["kind"], found["arch"], found["threshold"]) == (kind, "lenet300", 3.0)
    assert found["dataset"] == str(tiny_npz)
    assert Path(found["file"]).suffix == ".h5"
    assert [layer["name"] for layer in found["layers"]] == ["l1", "l2", "l3"]
    assert [layer["shape"] for layer in found["layers"]] == [[300, 64], [100, 300], [3, 100]]
    for layer in found["layers"]:
        assert set(layer) == {"name", "shape", "weights", "nonzero", "sparsity"}
        assert layer["weights"] == layer["shape"][0] * layer["shape"][1]
        _check_counts(layer)
    for count in ("weights", "nonzero"):
        assert found[count] == sum(layer[count] for layer in found["layers"])
    _check_counts(found)
    assert found["compression"] == pytest.approx(found["weights"] / found["nonzero"])
    if "error" in keys:
        assert found["examples"] == 90
        wrong = found["error"] * 90 / 100
        assert wrong == pytest.approx(round(wrong))
        assert found["accuracy"] == pytest.approx(1 - found["error"] / 100)
        assert found["loss"] > 0
    if "epochs" in keys:
        assert found["epochs"] == 1
        assert found["seconds"] > 0


def _check_counts(found: dict[str, Any]) -> None:
    assert type(found["nonzero"]) is type(found["weights"]) is int
    assert 0 < found["nonzero"] <= found["weights"]
    assert found["sparsity"] == pytest.approx(1 - found["nonzero"] / found["weights"])


@pytest.mark.parametrize(
    "arguments",
    [
        "train --dataset {data} --epochs 1 --batch-size 100 --out new.h5",
        "prune {trained}/checkpoint.h5",
        "eval {trained}/pruned.h5",
        "export {trained}/checkpoint.h5",
    ],
    ids=COMMANDS[:4],
)
def test_progress_goes_to_stderr_and_the_result_to_stdout(
    run: Run, trained: Path, tiny_npz: Path, arguments: str
) -> None:
    words = [word.format(trained=trained, data=tiny_npz) for word in arguments.split()]
    result = run(*words)
    assert result.returncode == 0
    assert result.stderr != ""
    assert "compression" not in result.stderr
    table = result.stdout.splitlines()
    assert table[0].endswith(", lenet300")
    assert any(re.match(r"layer +shape +weights +kept +sparsity$", line) for line in table)
    assert any(line.startswith("compression ") for line in table)


def test_closed_stdout_ends_without_a_traceback(trained: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "vdprune", "eval", "pruned.h5", "--quiet"],
        cwd=trained,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert result.returncode != 0
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a device that is full")
def test_output_that_is_full_is_told(trained: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "vdprune", "inspect", "weights.h5", "--json"],
            cwd=trained,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("vdprune: error: the result can't be printed: No space left")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["1", "2"])
def test_closed_output_is_no_bug(trained: Path, closed: str) -> None:
    result = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m vdprune eval weights.h5 {closed}>&-"],
        cwd=trained,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0
    assert "bug" not in result.stdout + result.stderr


def test_the_end_is_not_spent_on_collecting_garbage() -> None:
    code = (
        "import atexit, gc, sys; from vdprune.cli.main import main; sys.argv[1:] = ['--version'];"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0)); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"
