"""vdprune eval."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import FILE, config_option, dataset_options, gpu_option, output_options
from vdprune.cli.running import load_runtime
from vdprune.cli.scale import tell_of_scale

if TYPE_CHECKING:
    from vdprune.cli.loading import LoadedFile
    from vdprune.datasets import Split
    from vdprune.evaluation import Evaluation


_SPARSE = 0.9  # share of weights that are zero from which on a network is run sparse


@click.command("eval")
@click.argument("file", type=FILE)
@dataset_options(default="the one it was trained on")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Which examples to use; validation are those that `train --validation` held out.",
)
@gpu_option
@output_options
@config_option
def eval_command(
    file: Path,
    dataset: str | None,
    data_root: Path | None,
    split: str,
    gpu: int | None,
    json: bool,
    quiet: bool,
) -> None:
    """Measure error and size of a network.

    FILE is any of ours: checkpoint.h5, pruned.h5, or exported weights (but for ONNX and C).
    """
    from vdprune.cli.loading import load_any, load_its_dataset
    from vdprune.cli.results import describe_file, print_result
    from vdprune.errors import ArgumentError

    device = None if gpu is None else _find_gpu(gpu)
    loaded = load_any(file, needs_model=gpu is not None)
    data = load_its_dataset(file, loaded.dataset, dataset, data_root)
    if split != "test":
        data = data.hold_out(loaded.recipe.get("validation", 0))
    examples = getattr(data, split)
    if examples is None:
        raise ArgumentError(
            f"{file} knows of no validation examples: a checkpoint does, if --validation N held some "
            "out of its training"
        )
    if not quiet and not json:
        click.echo(f"evaluating on {examples.description}", err=True)
    if not quiet:
        if split == "train" and loaded.weights is not None:
            click.echo(
                f"vdprune: {file} is an exported weight file, which does not say how many examples "
                "training held out: if it did, they are among these; its checkpoint leaves them out",
                err=True,
            )
        tell_of_scale(loaded, data)
    result = describe_file(
        file,
        loaded.kind,
        loaded.arch,
        data.name,
        loaded.threshold,
        loaded.sparsity,
        _evaluate(loaded, examples, device, quiet),
    )
    print_result(result, json, examples.description)


def _evaluate(loaded: "LoadedFile", examples: "Split", device: Any, quiet: bool) -> "Evaluation":
    """Run a network; one of a weight file, on the CPU, by the runtime that is made for it."""
    if loaded.model is None:
        from vdprune.evaluation import evaluate_network
        from vdprune.runtime import make_network

        load_runtime(quiet)
        # not by what is faster just now, so that it is the same to the last digit each time
        way = "sparse" if loaded.sparsity.sparsity > _SPARSE else "dense"
        return evaluate_network(make_network(loaded.weights, 1, way), examples)
    from vdprune.chain_evaluation import evaluate
    from vdprune.devices import gpu_errors

    with gpu_errors():
        if device is not None:
            loaded.model.to_device(device)
        return evaluate(loaded.model, examples)


def _find_gpu(number: int) -> Any:
    from vdprune.devices import get_device

    return get_device(number)
