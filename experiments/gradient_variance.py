"""How much the gradient varies, by parameterisation: python -m experiments.gradient_variance.

What section 4.2 of Molchanov et al., ICML 2017, gives as the reason for learning sigma^2 in the place of
alpha: with alpha held fixed, the gradient of a mean carries noise that grows with alpha.
"""

import importlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy

import vdprune  # before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer

from experiments.output import output_options, run_experiment
from experiments.parameterisations import LayerVariances, measure_variances
from vdprune.archs import build_arch
from vdprune.chain_evaluation import evaluate
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError
from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.plotting.figures import BLUE, ORANGE, make_figure, set_whole_numbers

_ARCH = "lenet300"
_BATCH_SIZE = 100
_WARM_UP = 2  # epochs in which the KL weight grows from 0 to 1
_FEWEST = 10  # weights of which a mean over a bin is taken
_WAYS = {"multiplicative": ("alpha held fixed", ORANGE), "additive": ("sigma² held fixed", BLUE)}


def train_and_measure(
    data: Dataset, seed: int, epochs: int, batches: int, tell: Callable[[str], Any]
) -> dict[str, Any]:
    """Train a network and measure its gradients before the first epoch and after each.

    No weight is masked, since the mask is part of neither parameterisation.

    Args:
        data: What it is trained on.
        seed: Seed of everything random.
        epochs: How long it is trained.
        batches: Samples that a variance is taken of.
        tell: Called with a line after each measurement.

    Returns:
        What `gradient_variance` says of a run.
    """
    start = time.perf_counter()
    numpy.random.seed(seed)
    x, t = data.train.x, data.train.t
    model = build_arch(_ARCH, input_shape=data.input_shape, classes=data.classes)
    model.num_train = len(x)
    model.warm_up = _BATCH_SIZE / (_WARM_UP * len(x))
    model.scaling.fit(x, data.input_scale)
    model.to_variational_dropout(loga_threshold=LOG_ALPHA_MAX)
    updater = chainer.training.StandardUpdater(
        chainer.iterators.SerialIterator(range(len(x)), _BATCH_SIZE),
        vdprune.Adam().setup(model),
        converter=vdprune.ArrayBatches(x, t),
        loss_func=model.calc_loss,
    )
    measurements = []
    for epoch in range(epochs + 1):
        while updater.epoch < epoch:
            updater.update()
        layers = measure_variances(model, x, t, batches, _BATCH_SIZE)
        measurements.append({"epoch": epoch, "layers": [describe(layer) for layer in layers]})
        tell(f"seed {seed}: epoch {epoch} of {epochs}")
    return {
        "seed": seed,
        "error": evaluate(model, data.test).error,
        "seconds": time.perf_counter() - start,
        "measurements": measurements,
        "by_log_alpha": [{"name": layer.name, **bin_by_log_alpha(layer)} for layer in layers],
    }


def describe(layer: LayerVariances) -> dict[str, Any]:
    """Take means over the weights of a layer.

    Where log alpha is clipped there is no sigma^2 to hold fixed and both gradients are the same, so
    such weights are left out.

    Args:
        layer: The variances of all its weights.

    Returns:
        Its name, the mean variances of both ways, and the share of weights that are clipped.
    """
    is_inside = _is_inside(layer.log_alpha)
    return {
        "name": layer.name,
        "clipped": float(1 - is_inside.mean()),
        **{way: _mean(getattr(layer, way)[is_inside], 1) for way in _WAYS},
    }


def bin_by_log_alpha(layer: LayerVariances) -> dict[str, Any]:
    """Take means over weights that are about equally noisy; clipped ones are left out.

    Args:
        layer: The variances of all its weights.

    Returns:
        The middles of bins of log alpha of width 1, the weights in each, and their mean variances
        both ways, None where there are too few of them.
    """
    edges = numpy.arange(LOG_ALPHA_MIN, LOG_ALPHA_MAX + 1)
    numbers = numpy.digitize(layer.log_alpha, edges) - 1
    bins = [_is_inside(layer.log_alpha) & (numbers == number) for number in range(edges.size - 1)]
    return {
        "log_alpha": (edges[:-1] + 0.5).tolist(),
        "weights": [int(is_in.sum()) for is_in in bins],
        **{way: [_mean(getattr(layer, way)[is_in], _FEWEST) for is_in in bins] for way in _WAYS},
    }


def gradient_variance(
    dataset: str, seeds: int, epochs: int, batches: int, tell: Callable[[str], Any]
) -> dict[str, Any]:
    """Do the experiment.

    Args:
        dataset: Name or path of the data set.
        seeds: How many runs there are.
        epochs: How long each is.
        batches: Samples that a variance is taken of.
        tell: Called with a line after each measurement.

    Returns:
        The settings, and of each run the seed, the error in percent, the seconds, the variances by
        epoch and, after the last one, by log alpha.

    Raises:
        DatasetError: The data set can't be read.
        ArgumentError: It has fewer training examples than a batch.
    """
    data = load_dataset(dataset)
    if len(data.train.x) < _BATCH_SIZE:
        raise ArgumentError(
            f"{data.name} has {len(data.train.x)} training examples, a batch is {_BATCH_SIZE}: take a "
            "larger data set"
        )
    return {
        "settings": {
            "arch": _ARCH,
            "dataset": data.name,
            "epochs": epochs,
            "warm_up_epochs": _WARM_UP,
            "batch_size": _BATCH_SIZE,
            "batches": batches,
        },
        "runs": [train_and_measure(data, seed, epochs, batches, tell) for seed in range(seeds)],
    }


def draw(results: dict[str, Any]) -> Any:
    """Draw what `gradient_variance` returned.

    Args:
        results: Its results.

    Returns:
        matplotlib's figure: for each layer the variances by epoch and, below, by log alpha; a line is
        the mean of the seeds, the shade about it reaches from the least to the greatest.
    """
    runs = results["runs"]
    names = [layer["name"] for layer in runs[0]["by_log_alpha"]]
    figure = make_figure(3 * len(names), 6)
    above, below = figure.subplots(2, len(names), sharex="row", squeeze=False)
    for number, name in enumerate(names):
        for way in _WAYS:
            rows = [[m["layers"][number][way] for m in run["measurements"]] for run in runs]
            _draw_seeds(above[number], [m["epoch"] for m in runs[0]["measurements"]], rows, way)
            bins = [run["by_log_alpha"][number] for run in runs]
            _draw_seeds(below[number], bins[0]["log_alpha"], [b[way] for b in bins], way)
        above[number].set(title=name, xlabel="epoch")
        set_whole_numbers(above[number].xaxis)
        last = runs[0]["measurements"][-1]["epoch"]
        below[number].set(xlabel=f"log alpha after epoch {last}")
    for axes in (*above, *below):
        axes.set(yscale="log")
        axes.grid(alpha=0.2)
    for axes in below:
        _set_fine_scale(axes.yaxis)
    for axes in (above[0], below[0]):
        axes.set_ylabel("variance of the gradient")
    above[0].legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def tell_ratios(results: dict[str, Any]) -> list[str]:
    """Say how many times the variance grows, at the end of training, with alpha held fixed.

    Args:
        results: What `gradient_variance` returned.

    Returns:
        A line for each layer: the least and the greatest of the seeds, of all weights and of those in
        the last bin of log alpha that all seeds have enough weights in.
    """
    lines = []
    for number, first in enumerate(results["runs"][0]["by_log_alpha"]):
        means = [run["measurements"][-1]["layers"][number] for run in results["runs"]]
        line = f"{first['name']}: with alpha held fixed {_span(means)}"
        bins = [run["by_log_alpha"][number] for run in results["runs"]]
        full = [i for i in range(len(first["log_alpha"])) if all(b["additive"][i] for b in bins)]
        if full:
            middle = first["log_alpha"][full[-1]]
            last = [{way: b[way][full[-1]] for way in _WAYS} for b in bins]
            line += f"; log alpha {middle - 0.5:g} to {middle + 0.5:g}: {_span(last)}"
        lines.append(line)
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dataset", default="mnist", show_default=True, help="Name or file of a data set.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=6, show_default=True, help="Of each run."
)
@click.option(
    "--batches",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Samples that a variance is taken of.",
)
@output_options("gradient-variance")
def main(dataset: str, seeds: int, epochs: int, batches: int, json: Path, picture: Path) -> None:
    """Measure how much the gradient of the means varies with alpha and with sigma^2 held fixed."""
    measure = partial(
        gradient_variance, dataset, seeds, epochs, batches, partial(click.echo, err=True)
    )
    run_experiment(measure, draw, tell_ratios, json, picture)


def _is_inside(log_alpha: Any) -> Any:
    return (log_alpha > LOG_ALPHA_MIN) & (log_alpha < LOG_ALPHA_MAX)


def _mean(values: Any, fewest: int) -> float | None:
    return float(values.mean()) if values.size >= fewest else None


def _span(variances: list[dict[str, Any]]) -> str:
    """Say from where to where the ratio of the two ways goes."""
    ratios = [each["multiplicative"] / each["additive"] for each in variances if each["additive"]]
    if not ratios:
        return "nothing to compare"
    return f"{min(ratios):.2f} to {max(ratios):.2f} times the variance"


def _draw_seeds(axes: Any, x: list[float], rows: list[list[float | None]], way: str) -> None:
    label, color = _WAYS[way]
    y = numpy.array(rows, float)  # None becomes a gap
    axes.plot(x, y.mean(axis=0), color=color, label=label)
    axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=color, alpha=0.25, linewidth=0)


def _set_fine_scale(axis: Any) -> None:
    """Put ticks at 1, 2 and 5 times the powers of 10: the numbers do not span many of these."""
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.LogFormatterSciNotation(minor_thresholds=(math.inf, math.inf)))
    axis.set_minor_locator(ticker.NullLocator())


if __name__ == "__main__":
    main(prog_name="python -m experiments.gradient_variance")
