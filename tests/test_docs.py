"""README.md and docs/ say what the code does."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks.gpu import render as render_gpu
from benchmarks.report import render
from vdprune.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SPEED = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
RESULTS = ROOT / "docs" / "results"
PAGES = (
    "README.md",
    "RESULTS.md",
    "experiments/README.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)


def test_python_in_the_readme_runs(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes((trained / "weights.h5").read_bytes())
    code = _python(README)
    assert '(20, "epoch")' in code
    code = code.replace('(20, "epoch")', '(3, "iteration")')
    code += "\nassert (W.toarray() == network.l1.W.array).all()\n"
    assert "('body/0', 'body/1') ()" in _run(code, tmp_path)


def test_python_in_the_page_on_python_runs(tmp_path: Path) -> None:
    code = _python((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))
    code += "\nchainer.training.Trainer(updater, (30, 'iteration')).run()\n"
    assert "('body/0', 'body/1') ()" in _run(code, tmp_path)


def _python(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))


def _run(code: str, folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", cli.commands)
def test_commands_and_options_are_in_the_reference(name: str) -> None:
    assert f"vdprune {name}" in README
    _, _, section = REFERENCE.partition(f"## vdprune {name}\n")
    section = section.partition("\n## ")[0]
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in section, f"run docs/make_cli_reference.py: {parameter.opts}"


@pytest.mark.usefixtures("_docs")
def test_fields_of_recipes_are_in_the_reference() -> None:
    from make_recipe_reference import PAGE, SECTIONS, make_reference

    assert PAGE.read_text(encoding="utf-8") == make_reference()
    for _, _, kind in SECTIONS:
        for field in fields(kind):
            assert f"| `{field.name}` | " in make_reference()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        path, _, section = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if section:
            assert section in _sections(target.read_text(encoding="utf-8")), link


def _sections(text: str) -> list[str]:
    titles = re.findall(r"^##+ (.*)", text, re.M)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


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
    assert [number for number in numbers if number not in README] == []


def test_times_of_training_are_those_that_the_benchmark_wrote() -> None:
    results = json.loads((RESULTS / "benchmarks.json").read_text(encoding="utf-8"))
    table = render(results).split("\n\n")[0].splitlines()
    assert len(table) == 1 + 3 * 6
    assert [line for line in table if line not in SPEED] == []
    (recipe,) = results["recipe"]
    times = f"{recipe['seconds']:.0f} seconds, {recipe['vdprune_over_it']:.2f} times"
    assert times in _words(SPEED)
    assert f"at a load of {results['machine']['load']:.2f} when" in _words(SPEED)
    assert times in _words(README)
    first, second, third = _against_the_fastest(results)
    assert f"takes {first:.2f} times as long" in _words(README)
    assert f"{second:.2f} times with lenet5 and {third:.2f} times with a stack" in _words(README)


def test_times_of_another_machine_are_those_that_the_benchmark_wrote() -> None:
    results = json.loads((RESULTS / "benchmarks-avx2.json").read_text(encoding="utf-8"))
    first, second, third = _against_the_fastest(results)
    (recipe,) = results["recipe"]
    assert f"took {first:.2f}, {second:.2f} and {third:.2f} times" in _words(SPEED)
    assert f"and {recipe['vdprune_over_it']:.2f} times with the recipe" in _words(SPEED)


def test_times_of_inference_in_the_readme_are_those_that_the_benchmark_wrote() -> None:
    networks = json.loads((RESULTS / "inference.json").read_text(encoding="utf-8"))["networks"]
    times = {
        (name, row["examples"]): row["milliseconds"]["onnxruntime, dense"]
        / row["milliseconds"]["vdprune"]
        for name, network in networks.items()
        for row in network["rows"]
        if row["threads"] == 1
    }
    cut = {name: f"{100 * network['sparsity']:.1f} %" for name, network in networks.items()}
    one, two, three = networks
    assert (
        f"one example {times[one, 1]:.1f} times as fast with {one}, {cut[one]} of it cut, "
        f"{times[two, 1]:.1f} times with {two} ({cut[two]}) and {times[three, 1]:.1f} times with "
        f"{three} ({cut[three]}); 1,024 examples {times[one, 1024]:.1f}, {times[two, 1024]:.1f} and "
        f"{times[three, 1024]:.1f} times"
    ) in _words(README)


def _against_the_fastest(results: dict[str, Any]) -> list[float]:
    return [
        max(row["vdprune_over_it"] for row in rows if row["contender"] not in ("vdprune", "floor"))
        for rows in results["networks"].values()
    ]


def _words(page: str) -> str:
    return " ".join(page.split())


def test_counts_of_gpu_steps_are_those_that_the_benchmark_wrote() -> None:
    rows = json.loads((RESULTS / "gpu-counts.json").read_text(encoding="utf-8"))["networks"]
    assert render_gpu(rows) in (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert "launches | waits" in render_gpu(rows)


@pytest.fixture
def _docs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts in docs/ can be imported."""
    monkeypatch.syspath_prepend(ROOT / "docs")


@pytest.mark.usefixtures("_docs")
def test_the_page_of_results_is_made_of_the_files_of_results() -> None:
    from make_results import BEGIN, END, PAGE, make_page, summarise

    assert PAGE.read_text(encoding="utf-8") == make_page()
    assert BEGIN + summarise() + END in README


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
