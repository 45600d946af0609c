"""Learning labels that mean nothing: python -m experiments.random_labels.

Section 5.5 of Molchanov et al., ICML 2017, after Zhang et al., "Understanding deep learning requires
rethinking generalization", 2016: a network with binary dropout learns random labels by heart, sparse
variational dropout removes its weights.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy

import vdprune  # noqa: F401  before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer
from chainer import Chain

from experiments.binary_dropout import DROPOUT, train_with_dropout
from experiments.output import output_options, run_experiment
from vdprune.datasets import Dataset, load_dataset, make_dataset
from vdprune.devices import get_device
from vdprune.errors import ArgumentError
from vdprune.plotting.figures import BLUE, GREY, ORANGE, make_figure, set_whole_numbers
from vdprune.recipes.files import load_recipe
from vdprune.recipes.recipe import Recipe
from vdprune.sparsity import NetworkSparsity
from vdprune.training.callbacks import Callbacks
from vdprune.training.start import start_checkpoint
from vdprune.training.trainer import TrainingRun

_ARCH = "lenet300"
_RECIPE = "paper"
_TELL_EVERY = 20  # epochs
_WAYS = {
    "sparse_variational_dropout": ("sparse variational dropout", BLUE),
    "binary_dropout": ("binary dropout", ORANGE),
}


def permute_labels(data: Dataset, examples: int, seed: int) -> Dataset:
    """Deal the labels of the first training images out among them anew.

    Args:
        data: Images with their true labels.
        examples: How many of the training images are taken.
        seed: Decides which image gets which label.

    Returns:
        The images with random labels, both as training and as test examples: no image beyond them has
        a label that could be known.

    Raises:
        ArgumentError: There are not that many training images.
    """
    if examples > len(data.train.x):
        raise ArgumentError(
            f"examples is {examples}: {data.name} has {len(data.train.x)} training examples, take no "
            "more"
        )
    x = data.train.x[:examples]
    t = numpy.random.default_rng(seed).permutation(data.train.t[:examples])
    return make_dataset(f"{data.name} with random labels", (x, t), (x, t))


def train_sparse(
    data: Dataset, recipe: Recipe, on_epoch: Callable[[dict[str, Any]], Any]
) -> tuple[Chain, NetworkSparsity]:
    """Train with sparse variational dropout.

    Args:
        data: What `permute_labels` returned.
        recipe: How.
        on_epoch: Called after each epoch with the error on the training examples, measured without
            noise, and the share of weights that are cut.

    Returns:
        The network and what is left of it.
    """
    checkpoint = start_checkpoint(recipe, _ARCH, data)
    callbacks = Callbacks(
        on_epoch=lambda row: on_epoch({name: row[name] for name in ("error", "sparsity")})
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "checkpoint.h5"
        TrainingRun(checkpoint, data, out, get_device(None), callbacks).run()
    return checkpoint.model, checkpoint.model.sparsity()


def count_predictions(model: Chain, x: Any) -> list[int]:
    """Count how often a network predicts each class.

    Args:
        model: The network.
        x: Images.

    Returns:
        The counts, the most frequent class first; classes that are never predicted have none.
    """
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        predicted = model(x).array.argmax(axis=1)
    counts = numpy.unique(predicted, return_counts=True)[1]
    return sorted(counts.tolist(), reverse=True)


def train_one_way(
    way: str, data: Dataset, images: Any, recipe: Recipe, tell: Callable[[str], Any]
) -> dict[str, Any]:
    """Train a network and describe it.

    Args:
        way: A key of what `random_labels` says of a run.
        data: What `permute_labels` returned.
        images: Those that the trained network is asked about.
        recipe: How it is trained.
        tell: Called with a line now and then.

    Returns:
        What `random_labels` says of it.
    """
    train = {"sparse_variational_dropout": train_sparse, "binary_dropout": train_with_dropout}[way]
    epochs: list[dict[str, Any]] = []

    def on_epoch(row: dict[str, Any]) -> None:
        epochs.append({"epoch": len(epochs) + 1, **row})
        if len(epochs) % _TELL_EVERY == 0 or len(epochs) == recipe.epochs:
            tell(f"seed {recipe.seed}: {_WAYS[way][0]}, epoch {len(epochs)} of {recipe.epochs}")

    start = time.perf_counter()
    model, sparsity = train(data, recipe, on_epoch)
    return {
        "seconds": time.perf_counter() - start,
        "epochs": epochs,
        **sparsity.to_json(),
        "predictions": count_predictions(model, images),
    }


def random_labels(
    dataset: str, seeds: int, examples: int, epochs: int, tell: Callable[[str], Any]
) -> dict[str, Any]:
    """Do the experiment.

    Args:
        dataset: Name or path of the data set.
        seeds: How many runs there are.
        examples: Training images that are taken.
        epochs: How long each run is.
        tell: Called with a line now and then.

    Returns:
        The settings; the error in percent of the best constant prediction; and of each run the seed
        and for both ways the seconds, the training error in percent and the sparsity by epoch, what
        is left in the end, and how often each class is then predicted for the test images.

    Raises:
        DatasetError: The data set can't be read.
        ArgumentError: It has fewer training images, or a batch is larger than what is taken.
    """
    data = load_dataset(dataset)
    recipe = load_recipe(_RECIPE, _ARCH).with_options(epochs=epochs)
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        shuffled, seeded = permute_labels(data, examples, seed), recipe.with_options(seed=seed)
        ends = {way: train_one_way(way, shuffled, data.test.x, seeded, tell) for way in _WAYS}
        runs.append({"seed": seed, **ends})
    return {
        "settings": {
            "arch": _ARCH,
            "dataset": data.name,
            "recipe": _RECIPE,
            "examples": examples,
            "epochs": epochs,
            "batch_size": recipe.batch_size,
            "dropout": DROPOUT,
            "test_images": len(data.test.x),
        },
        "constant_error": float(
            100 - 100 * numpy.bincount(data.train.t[:examples]).max() / examples
        ),
        "runs": runs,
    }


def draw(results: dict[str, Any]) -> Any:
    """Draw what `random_labels` returned.

    Args:
        results: Its results.

    Returns:
        matplotlib's figure: training error and sparsity by epoch; a line is the mean of the seeds, the
        shade about it reaches from the least to the greatest.
    """
    figure = make_figure(9, 3.6)
    errors, sparsities = figure.subplots(1, 2)
    for axes, name, factor in ((errors, "error", 1), (sparsities, "sparsity", 100)):
        for way, (label, color) in _WAYS.items():
            rows = [[factor * row[name] for row in run[way]["epochs"]] for run in results["runs"]]
            y = numpy.array(rows)
            x = [row["epoch"] for row in results["runs"][0][way]["epochs"]]
            axes.plot(x, y.mean(axis=0), color=color, label=label)
            axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=color, alpha=0.25, linewidth=0)
        axes.set(xlabel="epoch", ylim=(-3, 103))
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.grid(alpha=0.2)
        set_whole_numbers(axes.xaxis)
    constant = results["constant_error"]
    errors.axhline(constant, color=GREY, linestyle="--", label="best constant prediction")
    errors.set(ylabel="training error on random labels")
    sparsities.set(ylabel="weights that are zero")
    errors.legend(frameon=False, fontsize="small", loc="center right")
    return figure


def tell_ends(results: dict[str, Any]) -> list[str]:
    """Say what became of the networks.

    Args:
        results: What `random_labels` returned.

    Returns:
        A line each for the best constant prediction and the two ways, the least and the greatest of the
        seeds at the end of training.
    """
    lines = [f"best constant prediction: {results['constant_error']:.2f} % training error"]
    for way, (label, _) in _WAYS.items():
        runs = [run[way] for run in results["runs"]]
        counts = [run["predictions"] for run in runs]
        shares = [100 * each[0] / sum(each) for each in counts]
        classes = _span([len(each) for each in counts], ",")
        lines.append(
            f"{label}: {_span([run['epochs'][-1]['error'] for run in runs], '.2f')} % training error; "
            f"{_span([run['nonzero'] for run in runs], ',')} of {runs[0]['weights']:,} weights left; "
            f"classes predicted: {classes}, the most frequent for {_span(shares, '.1f')} % of the "
            "test images"
        )
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dataset", default="mnist", show_default=True, help="Name or file of a data set.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs each way."
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Training images, the first ones of the data set.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), default=200, show_default=True, help="Of each run."
)
@output_options("random-labels")
def main(dataset: str, seeds: int, examples: int, epochs: int, json: Path, picture: Path) -> None:
    """Train on random labels with sparse variational dropout and with binary dropout."""
    measure = partial(
        random_labels, dataset, seeds, examples, epochs, partial(click.echo, err=True)
    )
    run_experiment(measure, draw, tell_ends, json, picture)


def _span(values: list[float], form: str) -> str:
    """Say from where to where numbers go."""
    least, greatest = (format(value, form) for value in (min(values), max(values)))
    return least if least == greatest else f"{least} to {greatest}"


if __name__ == "__main__":
    main(prog_name="python -m experiments.random_labels")
