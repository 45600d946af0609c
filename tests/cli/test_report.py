import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Run
from vdprune.cli.report import _describe_training


@pytest.mark.parametrize(
    ("file", "pictures"), [("checkpoint.h5", 6), ("pruned.h5", 6), ("weights.h5", 3)]
)
def test_report_of_each_file(
    run: Run, trained: Path, tmp_path: Path, file: str, pictures: int
) -> None:
    result = run("report", trained / file)
    assert (result.returncode, result.stderr) == (0, "report.html is written\n")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == pictures
    for text in ("<h2>Recipe</h2>", "<td>epochs</td><td>10</td>", "<td>recipe</td><td>paper</td>"):
        assert (text in page) == (file != "weights.h5")
    facts = json.loads(run("eval", trained / file, "--json").stdout)
    assert f"<dd>{facts['error']:.2f} %</dd>" in page
    assert f"<dd>{facts['nonzero']:,} of {facts['weights']:,}</dd>" in page
    assert run("report", trained / file, "--quiet").stderr == ""  # a page of ours may be replaced


def test_a_packed_file_has_its_scale_in_its_weights(
    run: Run, trained: Path, tmp_path: Path
) -> None:
    options = ("--format", "packed", "--bits", 5)
    assert run("export", trained / "pruned.h5", *options).returncode == 0
    result = run("report", "weights.packed")
    assert (result.returncode, result.stderr) == (0, "report.html is written\n")
    error = json.loads(run("eval", "weights.packed", "--json").stdout)["error"]
    assert f"<dd>{error:.2f} %</dd>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_file_whose_name_is_not_utf_8(run: Run, trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "weights.h5", tmp_path / "bad\udcff.h5")
    result = run("report", "bad\udcff.h5")
    assert (result.returncode, result.stderr) == (0, "report.html is written\n")
    assert r"bad\udcff.h5" in (tmp_path / "report.html").read_text(encoding="utf-8")


TAUGHT = {
    "name": "strong",
    "teacher": {"arch": "lenet5-bn", "recipe": "teacher", "temperature": 3.0, "weight": 0.7},
}
COOLED = {
    **TAUGHT,
    "phases": [
        {"name": "rounds", "temperature": 1.0},
        {"name": "a"},
        {"name": "b", "temperature": 2},
    ],
}
BY_FILE = {"name": "mine", "teacher": {"file": "dense.h5", "temperature": 2.0, "weight": 1.0}}


@pytest.mark.parametrize(
    ("recipes", "preparation", "words"),
    [
        (
            [TAUGHT],
            150.0,
            {
                "time": "3.5 minutes, 2.5 of them for the teacher and the images",
                "recipe": "strong",
                "teacher": "lenet5-bn, trained by the recipe teacher; its share of the loss is 0.7, the "
                "temperature 3",
            },
        ),
        (
            [COOLED],
            0.0,
            {
                "time": "1.0 minutes",
                "recipe": "strong",
                "teacher": "lenet5-bn, trained by the recipe teacher; its share of the loss is 0.7, the "
                "temperature 3; rounds and b had their own",
            },
        ),
        (
            [{**TAUGHT, "teacher": {**TAUGHT["teacher"], "networks": 3}}],  # type: ignore[dict-item]
            0.0,
            {
                "time": "1.0 minutes",
                "recipe": "strong",
                "teacher": "3 networks lenet5-bn, trained by the recipe teacher; its share of the loss "
                "is 0.7, the temperature 3",
            },
        ),
        (
            [{"name": "dense"}, BY_FILE, {"name": "finetune"}],
            0.0,
            {
                "time": "1.0 minutes",
                "earlier recipe": "dense, then mine",
                "recipe": "finetune",
                "teacher": "dense.h5; its share of the loss is 1, the temperature 2",
            },
        ),
    ],
)
def test_how_it_was_trained(
    recipes: list[dict[str, Any]], preparation: float, words: dict[str, str]
) -> None:
    *earlier, recipe = recipes
    history = [{"seconds": 0.04}] * 1500
    stored = SimpleNamespace(
        history=history, preparation=preparation, recipe=recipe, earlier_recipes=earlier
    )
    assert _describe_training(stored) == {"epochs": "1,500", **words}


def test_pages_of_others_stay(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<p>mine, made without vdprune</p>")
    result = run("report", trained / "weights.h5", "--out", "mine.html")
    assert result.returncode == 1
    assert "was not written by vdprune" in result.stderr
    assert (tmp_path / "mine.html").read_text() == "<p>mine, made without vdprune</p>"
    assert run("report", trained / "weights.h5").returncode == 0
    assert run("report", trained / "weights.h5").returncode == 0  # its own is replaced


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.h5",), "nothing.h5': `vdprune train` writes"),
        (("weights.h5", "--out", "report.pdf"), "a report ends in .html"),
        (("weights.h5", "--out", "nowhere/report.html"), "nowhere"),
    ],
)
def test_wrong_input(run: Run, trained: Path, arguments: tuple[str, ...], message: str) -> None:
    file, *rest = arguments
    result = run("report", trained / file, *rest)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
