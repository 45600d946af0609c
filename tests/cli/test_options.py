"""Options from the environment and from a TOML file."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import tomlkit

from tests.conftest import Run

FAST = ("--batch-size", 100, "--json", "--quiet")


def _write_config(folder: Path, text: str) -> Path:
    path = folder / "vdprune.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _stored_recipe(run: Run, folder: Path, *args: object, **kwargs: Any) -> dict[str, Any]:
    """Train for what the options say and return the recipe that went into the checkpoint."""
    result = run("train", *args, *FAST, **kwargs)
    assert result.returncode == 0, result.stderr
    with h5py.File(folder / json.loads(result.stdout)["file"], "r") as file:
        return json.loads(file.attrs["recipe"])


def _epochs(recipe: dict[str, Any]) -> int:
    return recipe["phases"][0]["epochs"]


def _usage_error(result: Any) -> str:
    """Return click's message of a usage error, with nothing else about it."""
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("vdprune: error: ")
    return line


def test_environment_sets_options(run: Run, tmp_path: Path, tiny_npz: Path) -> None:
    env = {
        "VDPRUNE_TRAIN_EPOCHS": "2",
        "VDPRUNE_TRAIN_SEED": "7",
        "VDPRUNE_TRAIN_DATASET": str(tiny_npz),
        "VDPRUNE_TRAIN_OUT": str(tmp_path / "named.h5"),
    }
    recipe = _stored_recipe(run, tmp_path, env=env)
    assert (_epochs(recipe), recipe["seed"]) == (2, 7)
    assert (tmp_path / "named.h5").exists()


def test_settings_in_the_environment_are_lines(run: Run) -> None:
    settings = "variational.kl_weight=[[1, 0], [3, 1]]\n\nvariational.epochs = 4\n"
    result = run("train", "--recipe", "quick", "--show-recipe", env={"VDPRUNE_TRAIN_SET": settings})
    assert result.returncode == 0, result.stderr
    (phase,) = tomlkit.parse(result.stdout).unwrap()["phases"]
    assert (phase["kl_weight"], phase["epochs"]) == ([[1, 0], [3, 1]], 4)


@pytest.mark.parametrize(
    ("arguments", "variable", "value", "expected"),
    [
        ("eval {trained}/pruned.h5", "VDPRUNE_EVAL_JSON", "1", '"kind": "pruned"'),
        ("export {trained}/pruned.h5 --json", "VDPRUNE_EXPORT_FORMAT", "dense", '"dense"'),
        ("train --resume --out {trained}/checkpoint.h5", "VDPRUNE_TRAIN_RECIPE", "quick", "quick"),
    ],
)
def test_environment_variable_is_named_as_the_option(
    run: Run, trained: Path, arguments: str, variable: str, value: str, expected: str
) -> None:
    words = [word.format(trained=trained) for word in arguments.split()]
    result = run(*words, env={variable: value})
    assert expected in result.stdout + result.stderr.partition("holds a run with recipe")[2]


def test_typed_wins_over_environment_and_environment_over_config(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    config = _write_config(tmp_path, "epochs = 9\nseed = 9\nthreshold = 9.0\n")
    recipe = _stored_recipe(
        run,
        tmp_path,
        *("--epochs", 1, "--config", config, "--dataset", tiny_npz),
        env={"VDPRUNE_TRAIN_EPOCHS": "8", "VDPRUNE_TRAIN_SEED": "8"},
    )
    assert (_epochs(recipe), recipe["seed"], recipe["threshold"]) == (1, 8, 9.0)


def test_environment_value_that_is_no_number_is_refused(run: Run) -> None:
    message = _usage_error(run("train", env={"VDPRUNE_TRAIN_EPOCHS": "many"}))
    assert "epochs" in message.lower()
    assert "many" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs = 1\nseed = 5", (1, 5)),
        ("[train]\nepochs = 1\nseed = 5", (1, 5)),
        ("epochs = 7\nseed = 5\n[train]\nepochs = 1\n[eval]\nsplit = 'train'", (1, 5)),
    ],
    ids=["top level", "section", "section wins"],
)
def test_config_sets_options(
    run: Run, tmp_path: Path, tiny_npz: Path, text: str, expected: tuple[int, int]
) -> None:
    config = _write_config(tmp_path, text)
    recipe = _stored_recipe(run, tmp_path, "--config", config, "--dataset", tiny_npz)
    assert (_epochs(recipe), recipe["seed"]) == expected


@pytest.mark.parametrize("key", ["target-sparsity", "target_sparsity"])
def test_config_key_may_have_dashes_or_underscores(
    run: Run, tmp_path: Path, trained: Path, key: str
) -> None:
    config = _write_config(tmp_path, f"[prune]\n{key} = 0.8\njson = true\nout = 'sparse.h5'\n")
    result = run("prune", trained / "checkpoint.h5", "--config", config)
    assert json.loads(result.stdout)["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert (tmp_path / "sparse.h5").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch = 3", "'epoch'"),
        ("[train]\nepoch = 3", "'epoch', which `train` has no option for, is epochs meant?"),
        ("[train]\nbatch_sise = 3", "has no option for, is batch-size meant?"),
        ("[train]\nzzz = 3", "has no option for; it knows arch, "),
        ("[trian]\nepochs = 3", "section [trian], and no command of that name, is [train] meant?"),
        ("[zzz]\nepochs = 3", "section [zzz], and no command of that name; there are train, "),
        ("[train.epochs]\nstart = 3", "'epochs'"),
        ("config = 'other.toml'", "'config'"),
        ("epochs = ", "can't be read"),
        ("epochs = 'many'", "'--epochs'"),
        ("epochs = 2.5", "epochs"),
        ("epochs = true", "'epochs' to True: --epochs takes "),
        ("epochs = [3]", "'epochs' to [3]: --epochs takes "),
        ("batch-size = {start = 1}", "batch-size"),
        ("set = 'seed=3'", "which is not a list"),
        ("quiet = 3", "'quiet' to 3: --quiet takes true or false"),
        ("train = 3", "train"),
        ("arch = 'lenet9'", "'--arch'"),
    ],
)
def test_config_that_makes_no_sense_is_refused(
    run: Run, tmp_path: Path, tiny_npz: Path, text: str, expected: str
) -> None:
    config = _write_config(tmp_path, text)
    result = run("train", "--config", config, "--dataset", tiny_npz)
    assert expected in _usage_error(result)
    assert list(tmp_path.iterdir()) == [config]


def test_unknown_key_is_refused_with_those_that_are_known(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    config = _write_config(tmp_path, "treshold = 3")
    message = _usage_error(run("prune", trained / "checkpoint.h5", "--config", config))
    assert "vdprune.toml" in message
    assert "threshold" in message.partition("it knows")[2]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"[train\n"])
def test_config_that_can_not_be_read_is_refused(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    assert "broken.toml can't be read" in _usage_error(run("train", "--config", path))


@pytest.mark.parametrize("arguments", [("eval", ""), ("train", "--out", ""), ("plot", "--out", "")])
def test_an_empty_name_is_no_file(run: Run, arguments: tuple[str, ...]) -> None:
    assert ": the name is empty (" in _usage_error(run(*arguments))
