"""All pictures of a file of ours."""

from collections.abc import Iterator
from typing import Any

from vdprune.cli.loading import LoadedFile


def draw_all(loaded: LoadedFile) -> Iterator[tuple[str, Any]]:
    """Draw what there is to a file.

    Args:
        loaded: What the file holds.

    Yields:
        A picture's name, as ``curves`` or ``mask-l1``, and matplotlib's figure.
    """
    from vdprune import plotting

    if loaded.kind != "weights":
        if loaded.history:
            yield "curves", plotting.draw_curves(loaded.history)
            yield (
                "error-against-compression",
                plotting.draw_error_against_compression(loaded.history),
            )
        yield "log-alpha", plotting.draw_log_alpha(_log_alphas(loaded), loaded.threshold)
    links = {name.lstrip("/"): link for name, link in loaded.model.namedlinks()}
    for number, layer in enumerate(loaded.sparsity.layers):
        input_shape = loaded.model.scaling.mean.shape if number == 0 else None
        figure = plotting.draw_mask(layer.name, _kept(links[layer.name], loaded), input_shape)
        yield f"mask-{layer.name.replace('/', '-')}", figure


def _log_alphas(loaded: LoadedFile) -> list[tuple[str, Any]]:
    from chainer import as_array

    links = loaded.model.named_variational_links()
    return [(name, as_array(link.log_alpha())) for name, link in links]


def _kept(link: Any, loaded: LoadedFile) -> Any:
    from chainer import as_array

    return as_array(link.W if loaded.kind == "weights" else link.masked_W()) != 0
