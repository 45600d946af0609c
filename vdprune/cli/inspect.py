"""vdprune inspect."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import FILE, config_option, output_options

if TYPE_CHECKING:
    from vdprune.cli.loading import LoadedFile
    from vdprune.formats import Weights


@click.command("inspect")
@click.argument("file", type=FILE)
@output_options
@config_option
def inspect_command(file: Path, json: bool, quiet: bool) -> None:
    """Tell what a file holds.

    FILE is any of ours: checkpoint.h5, pruned.h5, or exported weights (but for ONNX and C). Nothing
    is run.
    """
    from vdprune.cli.loading import load_any
    from vdprune.cli.results import describe_file, print_result

    loaded = load_any(file, needs_model=False)
    result = describe_file(
        file, loaded.kind, loaded.arch, loaded.dataset, loaded.threshold, loaded.sparsity
    )
    result["bytes"] = file.stat().st_size
    result.update(_describe_training(loaded) if loaded.weights is None else {})
    result.update({} if loaded.weights is None else _describe_weights(loaded.weights))
    if json:
        click.echo(json_format.dumps(result, allow_nan=False))
        return
    print_result(result, False)
    for line in _tell(file, loaded, result):
        click.echo(line)


def _describe_training(loaded: "LoadedFile") -> dict[str, Any]:
    from vdprune.recipes.tables import from_table

    history, recipe = loaded.history, from_table(loaded.recipe)
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": len(history),
        "epochs_of_recipe": recipe.epochs,
        "epochs_of_recipe_done": loaded.epochs_done,
        "last_error": history[-1]["error"] if history else None,
    }


def _describe_weights(weights: "Weights") -> dict[str, Any]:
    from vdprune.graph import find_shapes

    arrays = {**weights.weights, **weights.others}
    is_packed = weights.header["encoding"] == "packed"
    return {
        "encoding": weights.header["encoding"],
        **({"distinct": _count_distinct(weights)} if is_packed else {}),
        "input_shape": list(weights.graph.input_shape),
        "operations": [
            {"operation": node.operation, "inputs": list(node.inputs), "shape": list(shape)}
            for node, shape in zip(weights.graph.nodes, find_shapes(weights.graph)[1:], strict=True)
        ],
        "arrays": {
            path: {"shape": list(array.shape), "dtype": str(array.dtype)}
            for path, array in arrays.items()
        },
    }


def _count_distinct(weights: "Weights") -> dict[str, int]:
    """Count what a packed file tells apart: the different numbers of each array, but for zero."""
    import numpy

    arrays = {**weights.weights, **weights.others}
    return {path: len(numpy.unique(array[array != 0])) for path, array in arrays.items()}


def _tell(file: Path, loaded: "LoadedFile", result: dict[str, Any]) -> list[str]:
    lines = ["", f"{result['bytes']:,} bytes; {result['dataset'] or 'data unknown'}"]
    if loaded.weights is None:
        return [*lines, _tell_of_training(file, loaded, result)]
    dtypes = {str(array.dtype) for array in loaded.weights.weights.values()}
    encoding = f"encoding {result['encoding']}; weights {', '.join(sorted(dtypes))}"
    lines += [f"{encoding}; input {_size(result['input_shape'])}", ""]
    nodes = loaded.weights.graph.nodes
    for number, (node, found) in enumerate(zip(nodes, result["operations"], strict=True), 1):
        inputs = ", ".join(map(str, node.inputs))
        arrays = ", ".join(array.path for array in node.arrays.values())
        what = f"{number:>4}  {node.operation:<20} of {inputs:<8}"
        lines.append(f"{what} -> {_size(found['shape']):<12} {arrays}".rstrip())
    if "distinct" in result:
        counts = [f"{path} {count}" for path, count in result["distinct"].items()]
        lines += ["", f"different numbers, but for zero: {', '.join(counts)}"]
    return lines


def _tell_of_training(file: Path, loaded: "LoadedFile", result: dict[str, Any]) -> str:
    from vdprune.cli.progress import count_of
    from vdprune.cli.running import how_to_resume

    done, planned = result["epochs_of_recipe_done"], result["epochs_of_recipe"]
    words = (
        count_of(done, "epoch") if done == planned else f"{done:,} of {count_of(planned, 'epoch')}"
    )
    if result["epochs"] > done:
        words += f" after {result['epochs'] - done:,} of earlier recipes"
    if result["last_error"] is not None:
        words += f", error {result['last_error']:.2f} % after the last"
    if loaded.run_epochs is not None and done < planned:
        words += f"; {how_to_resume(file, None, None, None)} goes on with it"
    return f"recipe {result['recipe']}, seed {result['seed']}, {words}"


def _size(shape: list[int]) -> str:
    return "x".join(map(str, shape))
