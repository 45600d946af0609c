import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest
from click.testing import CliRunner

from experiments import random_labels
from tests.conftest import make_tiny_arrays
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError
from vdprune.recipes.files import load_recipe
from vdprune.recipes.recipe import Recipe

ROOT = Path(__file__).parent.parent.parent
WRITTEN: dict[str, Any] = json.loads(
    (ROOT / "docs" / "results" / "random-labels.json").read_text("utf-8")
)
WAYS = ("sparse_variational_dropout", "binary_dropout")


@pytest.fixture
def data(tiny_npz: Path) -> Dataset:
    return load_dataset(str(tiny_npz))


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("paper", "lenet300").with_options(epochs=2, batch_size=50)


def test_labels_are_permuted_by_the_seed_and_images_are_not(data: Dataset) -> None:
    first, again, other = (random_labels.permute_labels(data, 200, seed) for seed in (0, 0, 1))
    for shuffled in (first, other):
        for split in (shuffled.train, shuffled.test):
            numpy.testing.assert_array_equal(split.x, data.train.x[:200])
            assert sorted(split.t) == sorted(data.train.t[:200])
            # no more than by chance
            assert (split.t == data.train.t[:200]).mean() == pytest.approx(1 / 3, abs=0.12)
        numpy.testing.assert_array_equal(shuffled.train.t, shuffled.test.t)
    numpy.testing.assert_array_equal(first.train.t, again.train.t)
    assert (first.train.t != other.train.t).mean() > 0.5


def test_more_examples_than_there_are(data: Dataset) -> None:
    with pytest.raises(ArgumentError, match="examples is 301: .* has 300 training examples"):
        random_labels.permute_labels(data, 301, 0)


@pytest.mark.parametrize("train", [random_labels.train_sparse, random_labels.train_with_dropout])
def test_each_epoch_is_measured_without_noise(train: Any, data: Dataset, recipe: Recipe) -> None:
    shuffled = random_labels.permute_labels(data, 200, 0)
    rows: list[dict[str, Any]] = []
    model, sparsity = train(shuffled, recipe, rows.append)
    assert len(rows) == 2
    assert rows[-1] == {
        "error": evaluate(model, shuffled.train).error,
        "sparsity": sparsity.sparsity,
    }
    assert [layer.name for layer in sparsity.layers] == ["l1", "l2", "l3"]
    assert sparsity.weights == 64 * 300 + 300 * 100 + 100 * 3


def test_predictions_are_counted() -> None:
    def model(x: Any) -> Any:
        return chainer.Variable(numpy.eye(5)[x])

    assert random_labels.count_predictions(model, numpy.array([1, 4, 1, 2, 4, 4])) == [3, 2, 1]


def test_command(tiny_npz: Path, tmp_path: Path) -> None:
    json_path, picture = tmp_path / "labels.json", tmp_path / "labels.svg"
    options = ["--dataset", str(tiny_npz), "--seeds", "2", "--epochs", "2", "--examples", "200"]
    outputs = ["--json", str(json_path), "--picture", str(picture)]
    result = subprocess.run(
        [sys.executable, "-m", "experiments.random_labels", *options, *outputs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "seed 1: binary dropout, epoch 2 of 2" in result.stderr
    results = json.loads(json_path.read_text())
    assert result.stdout.splitlines() == random_labels.tell_ends(results)
    assert results.keys() == WRITTEN.keys()
    assert results["settings"].keys() == WRITTEN["settings"].keys()
    assert results["constant_error"] == 100 - 100 * 67 / 200
    assert [run["seed"] for run in results["runs"]] == [0, 1]
    for way in WAYS:
        first, second = (run[way] for run in results["runs"])
        assert first.keys() == WRITTEN["runs"][0][way].keys()
        assert [row["epoch"] for row in first["epochs"]] == [1, 2]
        assert first["epochs"] != second["epochs"]
        assert sum(first["predictions"]) == 90
    assert "<svg" in picture.read_text("utf-8")


def test_fewer_examples_than_a_batch(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "tiny.npz", **make_tiny_arrays())
    options = ["--dataset", str(tmp_path / "tiny.npz"), "--examples", "90", "--epochs", "2"]
    outputs = ["--json", str(tmp_path / "l.json"), "--picture", str(tmp_path / "l.png")]
    result = CliRunner().invoke(random_labels.main, [*options, *outputs])
    assert result.exit_code == 1
    assert "batch_size is 100, there are 90 training examples" in result.output
    assert list(tmp_path.glob("l.*")) == []


def test_results_in_docs_are_those_of_the_command_as_it_is() -> None:
    defaults = {option.name: option.default for option in random_labels.main.params}
    settings = WRITTEN["settings"]
    recipe = load_recipe("paper", "lenet300")
    assert settings == {
        "arch": "lenet300",
        "recipe": "paper",
        "batch_size": recipe.batch_size,
        "dropout": 0.5,
        "test_images": 10000,
        **{name: defaults[name] for name in ("dataset", "examples", "epochs")},
    }
    assert settings["epochs"] == recipe.epochs  # README.md: the recipe as it stands
    assert [run["seed"] for run in WRITTEN["runs"]] == list(range(defaults["seeds"]))
    for run in WRITTEN["runs"]:
        assert [len(run[way]["epochs"]) for way in WAYS] == [settings["epochs"]] * 2


def test_readme_has_these_numbers_and_no_others() -> None:
    readme = (ROOT / "experiments" / "README.md").read_text("utf-8")
    section = readme.partition("## Random labels\n")[2].partition("\n## ")[0]
    for line in random_labels.tell_ends(WRITTEN):
        assert f"    {line}\n" in section
        section = section.replace(line, "")
    for name in ("Section 5.5 of the paper", 'generalization", 2016', "LeNet-300-100"):
        assert name in section
        section = section.replace(name, "")
    settings = WRITTEN["settings"]
    names = ("examples", "epochs", "batch_size", "dropout")
    expected = [f"{settings[name]:,}" for name in names] + [str(len(WRITTEN["runs"]))]
    assert sorted(re.findall(r"\d[\d.,]*\d|\d", section)) == sorted(expected)


def test_dropout_memorises_and_sparse_variational_dropout_removes_all() -> None:
    """What the experiment is to show, in the numbers in docs."""
    for run in WRITTEN["runs"]:
        sparse, dropout = (run[way] for way in WAYS)
        assert sparse["nonzero"] == 0
        assert sparse["compression"] is None
        assert sparse["predictions"] == [WRITTEN["settings"]["test_images"]]
        assert sparse["epochs"][-1]["error"] == pytest.approx(WRITTEN["constant_error"])
        assert dropout["epochs"][-1]["error"] < 2
        assert len(dropout["predictions"]) == 10


def test_figure() -> None:
    errors, sparsities = random_labels.draw(WRITTEN).axes
    for axes, name, factor in ((errors, "error", 1), (sparsities, "sparsity", 100)):
        for way, line, shade in zip(WAYS, axes.lines, axes.collections, strict=False):
            rows = numpy.array(
                [[factor * row[name] for row in run[way]["epochs"]] for run in WRITTEN["runs"]]
            )
            assert list(line.get_xdata()) == list(range(1, WRITTEN["settings"]["epochs"] + 1))
            assert line.get_ydata() == pytest.approx(rows.mean(axis=0))
            outline = shade.get_paths()[0].vertices[:, 1]
            assert (outline.min(), outline.max()) == pytest.approx((rows.min(), rows.max()))
        assert len(axes.collections) == 2
    assert set(errors.lines[2].get_ydata()) == {WRITTEN["constant_error"]}
    labels = [text.get_text() for text in errors.get_legend().get_texts()]
    assert labels == ["sparse variational dropout", "binary dropout", "best constant prediction"]


def test_ends_in_words() -> None:
    def way(error: float, nonzero: int, predictions: list[int]) -> dict[str, Any]:
        return {
            "epochs": [{"error": 99.0}, {"error": error}],
            "weights": 2000,
            "nonzero": nonzero,
            "predictions": predictions,
        }

    runs = [
        dict(zip(WAYS, pair, strict=True))
        for pair in (
            (way(88.5, 0, [8]), way(1.25, 2000, [4, 4])),
            (way(88.5, 1500, [8]), way(0.5, 2000, [6, 1, 1])),
        )
    ]
    assert random_labels.tell_ends({"constant_error": 88.5, "runs": runs}) == [
        "best constant prediction: 88.50 % training error",
        "sparse variational dropout: 88.50 % training error; 0 to 1,500 of 2,000 weights left; classes "
        "predicted: 1, the most frequent for 100.0 % of the test images",
        "binary dropout: 0.50 to 1.25 % training error; 2,000 of 2,000 weights left; classes "
        "predicted: 2 to 3, the most frequent for 50.0 to 75.0 % of the test images",
    ]
