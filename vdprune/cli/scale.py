"""Whether data are on the scale that a network was trained on."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vdprune.cli.loading import LoadedFile
    from vdprune.datasets import Dataset


def tell_of_scale(loaded: "LoadedFile", data: "Dataset") -> None:
    """Say so on standard error where the data may have other numbers than those in training.

    Args:
        loaded: What a file of ours holds.
        data: What the network is given.
    """
    scale, is_its_own = _scale_of(loaded), data.name == loaded.dataset
    # a packed network has the scale of its own data in the weights of its first layer
    if scale is None and data.input_scale != 1 and not is_its_own:
        click.echo(
            f"vdprune: the network takes its inputs as they are, and is given the bytes of {data.name}, "
            "0 to 255: if it was trained on other numbers, as on those divided by 255, make an .npz "
            "file of such numbers and give it with --dataset",
            err=True,
        )
    elif scale not in (None, data.input_scale):
        click.echo(
            f"vdprune: the network multiplies its inputs by {scale:.4g}, as fits the data it was "
            f"trained on; training on {data.name} would have used {data.input_scale:.4g}: make sure "
            "that its numbers are on the same scale",
            err=True,
        )


def _scale_of(loaded: "LoadedFile") -> float | None:
    """What a network multiplies its inputs by; None if it leaves them as they are."""
    if loaded.weights is None:
        return loaded.model.scaling.scale
    scales = [
        float(loaded.weights.others[node.arrays["scale"].path])
        for node in loaded.weights.graph.nodes
        if node.operation == "scaling"
    ]
    return scales[0] if scales else None
