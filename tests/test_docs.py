"""README.md and docs/ say what the code does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from benchmarks.gpu import render as render_gpu
from benchmarks.report import render
from vdprune.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
RESULTS = ROOT / "docs" / "results"


def test_python_in_the_readme_runs(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes((trained / "weights.h5").read_bytes())
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.S))
    assert '(20, "epoch")' in code
    code = code.replace('(20, "epoch")', '(3, "iteration")')
    code += "\nupdater.update()\nassert (W.toarray() == network.l1.W.array).all()\n"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "('body/0', 'body/1') ()" in result.stdout


@pytest.mark.parametrize("name", cli.commands)
def test_commands_and_options_are_in_the_reference(name: str) -> None:
    assert f"vdprune {name}" in README
    _, _, section = REFERENCE.partition(f"## vdprune {name}\n")
    section = section.partition("\n## ")[0]
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in section, f"run docs/make_cli_reference.py: {parameter.opts}"


@pytest.mark.parametrize("link", re.findall(r"\]\(#([^)]+)\)", README))
def test_sections_that_the_readme_links_to_exist(link: str) -> None:
    titles = re.findall(r"^## (.*)", README, re.M)
    assert link in [title.lower().replace(" ", "-") for title in titles]


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http|#)([^)]+)\)", README))
def test_files_that_the_readme_links_to_exist(link: str) -> None:
    assert (ROOT / link).exists()


def test_results_in_the_readme_are_those_that_the_commands_wrote() -> None:
    trained, second, third = json.loads((RESULTS / "lenet300-paper.json").read_text())["runs"]
    exported = json.loads((RESULTS / "lenet300-paper-export.json").read_text())
    numbers = [
        f"{run['error']:.2f} % at {run['compression']:.1f}x" for run in (trained, second, third)
    ]
    numbers += [
        f"error {trained['error']:.2f} %",
        f"{trained['nonzero']:,} nonzero",
        f"compression {trained['compression']:.1f}x",
        f"{trained['epochs']} epochs in {trained['seconds'] / 60:.1f} minutes",
        f"{exported['bytes']:,} bytes",
    ]
    numbers += [f"{layer['nonzero']:,}" for layer in trained["layers"]]
    strong = json.loads((RESULTS / "lenet300-strong.json").read_text())["runs"]
    numbers += [f"{run['error']:.2f} % at {run['compression']:.1f}x" for run in strong]
    assert [number for number in numbers if number not in README] == []


def test_times_in_the_readme_are_those_that_the_benchmark_wrote() -> None:
    results = json.loads((RESULTS / "benchmarks.json").read_text(encoding="utf-8"))
    table = render(results).split("\n\n")[0].splitlines()
    assert len(table) == 1 + 3 * 6
    assert [line for line in table if line not in README] == []
    (recipe,) = results["recipe"]
    times = f"{recipe['seconds']:.0f} seconds, {recipe['vdprune_over_it']:.2f} times"
    readme = " ".join(README.split())
    assert times in readme
    assert f"at a load of {results['machine']['load']:.2f} when" in readme


def test_times_of_another_machine_are_those_that_the_benchmark_wrote() -> None:
    results = json.loads((RESULTS / "benchmarks-avx2.json").read_text(encoding="utf-8"))
    first, second, third = (
        max(row["vdprune_over_it"] for row in rows if row["contender"] not in ("vdprune", "floor"))
        for rows in results["networks"].values()
    )
    (recipe,) = results["recipe"]
    readme = " ".join(README.split())
    assert f"took {first:.2f}, {second:.2f} and {third:.2f} times" in readme
    assert f"and {recipe['vdprune_over_it']:.2f} times with the recipe" in readme


def test_counts_of_gpu_steps_in_the_readme_are_those_that_the_benchmark_wrote() -> None:
    rows = json.loads((RESULTS / "gpu-counts.json").read_text(encoding="utf-8"))["networks"]
    assert render_gpu(rows) in README
    assert "launches | waits" in render_gpu(rows)


@pytest.fixture
def _docs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts in docs/ can be imported."""
    monkeypatch.syspath_prepend(ROOT / "docs")


@pytest.mark.usefixtures("_docs")
def test_the_page_of_results_is_made_of_the_files_of_results() -> None:
    from make_results import PAGE, make_page

    assert PAGE.read_text(encoding="utf-8") == make_page()


def test_packed_networks_are_those_of_the_results() -> None:
    runs = json.loads((RESULTS / "packed.json").read_text(encoding="utf-8"))["runs"]
    for run in runs:
        path = RESULTS / f"{run['arch']}-{run['recipe']}.json"
        trained = {each["seed"]: each for each in json.loads(path.read_text())["runs"]}
        for name in ("error", "nonzero", "weights", "examples"):
            assert run[name] == trained[run["seed"]][name], (path, run["seed"], name)
        assert run["nonzero_packed"] <= run["nonzero"]
        assert "training examples" in run["bits_chosen_by"]


@pytest.mark.usefixtures("_docs")
def test_picture_shows_the_results() -> None:
    from draw_before_after import PICTURE, draw

    assert PICTURE.read_text(encoding="utf-8") == draw()
