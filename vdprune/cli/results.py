"""What a subcommand found out, as a table or as JSON."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.sparsity import COUNTING_RULE, NetworkSparsity

if TYPE_CHECKING:
    from vdprune.evaluation import Evaluation


def describe_file(
    path: Path,
    kind: str,
    arch: str,
    dataset: str,
    threshold: float | None,
    sparsity: NetworkSparsity,
    evaluation: "Evaluation | None" = None,
) -> dict[str, Any]:
    """Make the JSON object that describes a file of ours.

    Args:
        path: The file.
        kind: checkpoint, pruned, weights or compact weights.
        arch: The network.
        dataset: What it was measured on, or trained on.
        threshold: Log alpha above which weights are zero; None where it does not say which are.
        sparsity: The counts.
        evaluation: What evaluation gave, if there was one.

    Returns:
        The object.
    """
    measured = {}
    if evaluation is not None:
        measured = {
            "examples": evaluation.examples,
            "error": evaluation.error,
            "accuracy": 1 - evaluation.error / 100,
            "loss": evaluation.loss if math.isfinite(evaluation.loss) else None,
        }
    return {
        "file": str(path),
        "kind": kind,
        "arch": arch,
        "dataset": dataset,
        **measured,
        "threshold": threshold,
        **sparsity.to_json(),
    }


def print_result(result: dict[str, Any], as_json: bool, images: str = "") -> None:
    """Print what `describe_file` made on standard output.

    Args:
        result: The object.
        as_json: Whether as JSON.
        images: The examples that were used, in words.
    """
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    click.echo(f"{result['file']}: {result['kind']}, {result['arch']}")
    if result.get("loss", 0) is None:
        click.echo(
            "vdprune: the loss is not finite: the network's outputs for some images are not, so the "
            "error says nothing; see whether the network's weights and the images are finite",
            err=True,
        )
    if "error" in result:
        loss = "not finite" if result["loss"] is None else f"{result['loss']:.4f}"
        click.echo(f"error {result['error']:.2f} %, loss {loss} on {images}")
    click.echo()
    click.echo(_layer_table(result))
    click.echo()
    # a weight file has the threshold of what it was made from, but knows no log alpha
    knows_noise = result["threshold"] is not None and result["kind"] in ("checkpoint", "pruned")
    where = f" at log alpha <= {tell_threshold(result['threshold'])}" if knows_noise else ""
    click.echo(
        f"compression {_times(result['compression'])}: {result['weights']:,} weights, "
        f"{result['nonzero']:,} nonzero{where}"
    )
    click.echo(f"({COUNTING_RULE})")
    if result["kind"] == "compact weights":
        click.echo("(units without weights are left out, and not counted)")


def tell_threshold(threshold: float) -> str:
    """Write a log alpha so that the same weights are cut if it is given back as --threshold.

    Args:
        threshold: It.

    Returns:
        As few digits as will do; all that a float32 has, if it must be.
    """
    short = f"{threshold:.4g}"
    return short if float(short) == threshold else f"{threshold:.9g}"


def warn_of_collapse(sparsity: NetworkSparsity, advice: str) -> None:
    """Say so on standard error where a layer has no weights left.

    Args:
        sparsity: The counts.
        advice: What to do.
    """
    empty = [layer.name for layer in sparsity.layers if layer.nonzero == 0]
    if empty:
        what = f"no weight is left in {', '.join(empty)}"
        if sparsity.nonzero == 0:
            what = "every weight is cut, so the network predicts the same for every input"
        click.echo(f"vdprune: {what}: {advice}", err=True)


def _layer_table(result: dict[str, Any]) -> str:
    rows = [("layer", "shape", "weights", "kept", "sparsity")]
    rows += [
        (
            layer["name"],
            "x".join(map(str, layer["shape"])),
            f"{layer['weights']:,}",
            f"{layer['nonzero']:,}",
            f"{100 * layer['sparsity']:.2f} %",
        )
        for layer in result["layers"]
    ]
    rows.append(
        (
            "all",
            "",
            f"{result['weights']:,}",
            f"{result['nonzero']:,}",
            f"{100 * result['sparsity']:.2f} %",
        )
    )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _times(compression: float | None) -> str:
    return "infinite" if compression is None else f"{compression:.1f}x"
