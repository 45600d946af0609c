"""All pictures of a file of ours."""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from vdprune.cli.loading import LoadedFile
from vdprune.graph import Graph


def draw_all(loaded: LoadedFile) -> Iterator[tuple[str, Any]]:
    """Draw what there is to a file.

    Args:
        loaded: What it holds.

    Yields:
        A picture's name, as ``curves`` or ``mask-l1``, and matplotlib's figure.
    """
    from vdprune import plotting

    if loaded.history:
        yield "curves", plotting.draw_curves(loaded.history, _phases(loaded))
        if any(row["sparsity"] for row in loaded.history):
            figure = plotting.draw_error_against_compression(loaded.history)
            yield "error-against-compression", figure
    if loaded.weights is None and loaded.threshold is not None:
        yield "log-alpha", plotting.draw_log_alpha(_log_alphas(loaded), loaded.threshold)
    graph = _find_graph(loaded)
    read_pixels = _find_readers_of_pixels(graph)
    for layer in loaded.sparsity.layers:
        if layer.nonzero == layer.weights:
            continue
        input_shape = graph.input_shape if f"{layer.name}/W" in read_pixels else None
        figure = plotting.draw_mask(layer.name, _kept(layer.name, loaded), input_shape)
        yield f"mask-{layer.name.replace('/', '-')}", figure


def tell_what_is_left_out(file: Path, loaded: LoadedFile) -> list[str]:
    """Tell why there are not all pictures of a file.

    Args:
        file: The file.
        loaded: What it holds.

    Returns:
        A line for each reason.
    """
    reasons = []
    if loaded.weights is not None:
        reasons.append(
            f"{file} is an exported weight file, which knows no history and no noise: the checkpoint "
            "or the pruned file that it was made from gives more pictures"
        )
    elif loaded.threshold is None:
        reasons.append(f"{file} was trained without noise, so there is no picture of log alpha")
    whole = [layer.name for layer in loaded.sparsity.layers if layer.nonzero == layer.weights]
    if whole:
        reasons.append(
            f"all weights are left in {', '.join(whole)}, so there is no picture of that"
        )
    return reasons


def _phases(loaded: LoadedFile) -> list[tuple[str, int]]:
    """Name the recipe's phases, each with the epoch after which it begins."""
    phases = loaded.recipe["phases"]
    # before a fine-tuning there were others, of another recipe
    before = len(loaded.history) - loaded.epochs_done
    starts = accumulate((phase["epochs"] for phase in phases), initial=before)
    return [(phase["name"], start) for phase, start in zip(phases, starts, strict=False)]


def _log_alphas(loaded: LoadedFile) -> list[tuple[str, Any]]:
    from chainer import as_array

    links = loaded.model.named_variational_links()
    return [(name, as_array(link.log_alpha())) for name, link in links]


def _kept(name: str, loaded: LoadedFile) -> Any:
    from chainer import as_array

    if loaded.weights is not None:
        return loaded.weights.weights[f"{name}/W"] != 0
    return as_array(dict(loaded.model.named_variational_links())[name].masked_W()) != 0


def _find_graph(loaded: LoadedFile) -> Graph:
    if loaded.weights is not None:
        return loaded.weights.graph
    from vdprune.export.tracing import trace

    return trace(loaded.model, loaded.model.scaling.mean.shape)[0]


def _find_readers_of_pixels(graph: Graph) -> set[str]:
    """Find the weights of the linear layers whose inputs are the image, whatever its shape and scale."""
    pixels, readers = {0}, set()
    for number, node in enumerate(graph.nodes, 1):
        if not pixels.issuperset(node.inputs):
            continue
        if node.operation in ("scaling", "reshape"):
            pixels.add(number)
        elif node.operation == "linear":
            readers.add(node.arrays["W"].path)
    return readers
