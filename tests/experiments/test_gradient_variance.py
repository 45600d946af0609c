import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from click.testing import CliRunner

from experiments import gradient_variance
from experiments.parameterisations import LayerVariances, measure_variances
from tests.conftest import make_tiny_arrays

ROOT = Path(__file__).parent.parent.parent
WRITTEN: dict[str, Any] = json.loads(
    (ROOT / "docs" / "results" / "gradient-variance.json").read_text("utf-8")
)


@pytest.fixture
def layer() -> LayerVariances:
    """A clipped weight, twelve of log alpha 2.5, six of 3.2."""
    log_alpha = numpy.array([8.0, *[2.5] * 12, *[3.2] * 6])
    additive = numpy.array([100.0, *range(12), *[1.0] * 6])
    return LayerVariances("l1", log_alpha, additive, 2 * additive)


def test_means_leave_clipped_weights_out(layer: LayerVariances) -> None:
    expected = {"clipped": 1 / 19, "additive": 72 / 18, "multiplicative": 144 / 18}
    found = gradient_variance.describe(layer)
    assert found.pop("name") == "l1"
    assert found == pytest.approx(expected)


def test_bins(layer: LayerVariances) -> None:
    bins = gradient_variance.bin_by_log_alpha(layer)
    assert bins["log_alpha"][10] == 2.5
    assert bins["weights"] == [0] * 10 + [12, 6] + [0] * 4
    assert bins["additive"] == [None] * 10 + [5.5] + [None] * 5  # six weights are too few
    assert bins["multiplicative"][10] == 11


def test_command(tiny_npz: Path, tmp_path: Path) -> None:
    json_path, picture = tmp_path / "variance.json", tmp_path / "variance.svg"
    options = ["--dataset", str(tiny_npz), "--seeds", "2", "--epochs", "1", "--batches", "3"]
    outputs = ["--json", str(json_path), "--picture", str(picture)]
    result = subprocess.run(
        [sys.executable, "-m", "experiments.gradient_variance", *options, *outputs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "seed 1: epoch 1 of 1" in result.stderr
    results = json.loads(json_path.read_text())
    assert result.stdout.splitlines() == gradient_variance.tell_ratios(results)
    first, second = results["runs"]
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["measurements"] != second["measurements"]
    assert [m["epoch"] for m in first["measurements"]] == [0, 1]
    for layer in first["measurements"][0]["layers"]:
        assert 0 < layer["additive"] < layer["multiplicative"]
    assert [layer["name"] for layer in first["by_log_alpha"]] == ["l1", "l2", "l3"]
    assert results.keys() == WRITTEN.keys()
    assert first.keys() == WRITTEN["runs"][0].keys()
    assert "<svg" in picture.read_text("utf-8")


def test_a_data_set_smaller_than_a_batch(tmp_path: Path) -> None:
    arrays = {name: array[:90] for name, array in make_tiny_arrays().items()}
    numpy.savez(tmp_path / "small.npz", **arrays)
    options = ["--dataset", str(tmp_path / "small.npz"), "--json", str(tmp_path / "v.json")]
    options += ["--picture", str(tmp_path / "v.png")]
    result = CliRunner().invoke(gradient_variance.main, options)
    assert result.exit_code == 1
    assert "has 90 training examples, a batch is 100: take a larger data set" in result.output


def test_no_weight_is_masked(tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def measure(model: Any, *args: Any) -> list[LayerVariances]:
        kept.extend(link.kept().all() for _, link in model.named_variational_links())
        return measure_variances(model, *args)

    monkeypatch.setattr(gradient_variance, "measure_variances", measure)
    gradient_variance.gradient_variance(str(tiny_npz), 1, 1, 2, lambda line: None)
    assert kept == [True] * 6


def test_results_in_docs_are_those_of_the_command_as_it_is() -> None:
    defaults = {option.name: option.default for option in gradient_variance.main.params}
    settings = WRITTEN["settings"]
    assert {name: defaults[name] for name in ("dataset", "epochs", "batches")} == {
        name: settings[name] for name in ("dataset", "epochs", "batches")
    }
    assert [run["seed"] for run in WRITTEN["runs"]] == list(range(defaults["seeds"]))
    readme = (ROOT / "experiments" / "README.md").read_text("utf-8")
    assert [line for line in gradient_variance.tell_ratios(WRITTEN) if line not in readme] == []


def test_noise_that_grows_with_alpha() -> None:
    """What the experiment is to show, in the numbers in docs."""
    for run in WRITTEN["runs"]:
        for layer in run["by_log_alpha"]:
            ratios = [
                multiplicative / additive
                for additive, multiplicative in zip(
                    layer["additive"], layer["multiplicative"], strict=True
                )
                if additive is not None
            ]
            assert ratios[0] == pytest.approx(1, abs=0.05)
            assert max(ratios) == max(ratios[-3:]) > 2, layer["name"]


def test_figure() -> None:
    figure = gradient_variance.draw(WRITTEN)
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == ["l1", "l2", "l3"]
    for number, axes in enumerate(above):
        for way, line in zip(("multiplicative", "additive"), axes.lines, strict=True):
            rows = [
                [m["layers"][number][way] for m in run["measurements"]] for run in WRITTEN["runs"]
            ]
            assert line.get_ydata() == pytest.approx(numpy.mean(rows, axis=0))
    first = WRITTEN["runs"][0]["by_log_alpha"][0]
    assert list(below[0].lines[0].get_xdata()) == first["log_alpha"]
    for way, line in zip(("multiplicative", "additive"), below[0].lines, strict=True):
        rows = [run["by_log_alpha"][0][way] for run in WRITTEN["runs"]]
        expected = numpy.mean(numpy.array(rows, float), axis=0)
        numpy.testing.assert_allclose(line.get_ydata(), expected)
    assert below[0].get_yscale() == "log"


def test_ratios_in_words() -> None:
    def run(additive: float | None, last: float | None) -> dict[str, Any]:
        return {
            "measurements": [
                {"layers": [{"additive": 9.0, "multiplicative": 9.0}]},
                {"layers": [{"additive": additive, "multiplicative": 6.0}]},
            ],
            "by_log_alpha": [
                {
                    "name": "l1",
                    "log_alpha": [2.5, 3.5],
                    "additive": [2.0, last],
                    "multiplicative": [5.0, 9.0],
                }
            ],
        }

    assert gradient_variance.tell_ratios({"runs": [run(3.0, 3.0), run(2.0, 2.0)]}) == [
        "l1: with alpha held fixed 2.00 to 3.00 times the variance; log alpha 3 to 4: 3.00 to 4.50 "
        "times the variance"
    ]
    # a bin that one run has too few weights in, and a layer whose weights are all clipped
    assert gradient_variance.tell_ratios({"runs": [run(3.0, 3.0), run(None, None)]}) == [
        "l1: with alpha held fixed 2.00 to 2.00 times the variance; log alpha 2 to 3: 2.50 to 2.50 "
        "times the variance"
    ]
    empty = run(None, None)
    empty["by_log_alpha"][0]["additive"] = [None, None]
    assert gradient_variance.tell_ratios({"runs": [empty]}) == [
        "l1: with alpha held fixed nothing to compare"
    ]
