"""An ordinary Chain becomes its variational twin; a variational one becomes ordinary or sparse."""

from dataclasses import dataclass
from typing import Any

import chainer.links as L
from chainer import Link

from vdprune.errors import ArgumentError
from vdprune.functions.prior import LOG_UNIFORM, k1_of
from vdprune.links import (
    SparseConvolution2D,
    SparseLinear,
    VariationalDropout,
    VariationalDropoutConvolution2D,
    VariationalDropoutLinear,
)
from vdprune.links.sparse import Sparse
from vdprune.threshold import resolve_threshold

_TWINS: dict[type, type] = {
    L.Linear: VariationalDropoutLinear,
    L.Convolution2D: VariationalDropoutConvolution2D,
}


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Args:
        converted: Paths of the links that became variational.
        left_alone: Path and class name of every other link that owns parameters.
    """

    converted: tuple[str, ...]
    left_alone: tuple[tuple[str, str], ...]


def to_variational_dropout(
    chain: Link,
    p_threshold: float | None = None,
    loga_threshold: float | None = None,
    initial_log_sigma2: float = -10.0,
    mask_variance: bool | None = None,
    prior: str = LOG_UNIFORM,
) -> ConversionReport:
    """Turn every Linear and Convolution2D of a model into its variational twin, in place.

    Nested chains, ChainLists and Sequentials included. A link stays the same object under the same
    name, with its weights, wherever it is referred to; it changes class and gains ``log_sigma2``.
    Subclasses of the two are left alone: their own forward is not known here.

    Args:
        chain: The model. Its optimizer must be set up afterwards.
        p_threshold: Threshold as a dropout rate: see `VariationalDropoutLinear`.
        loga_threshold: Threshold as a log alpha.
        initial_log_sigma2: Where every log sigma^2 starts.
        mask_variance: Whether the variance of a cut weight is masked in training; by default
            in convolutions only, as the authors do.
        prior: Prior of the weights: see `VariationalDropoutLinear`.

    Returns:
        What was converted and what was left alone.

    Raises:
        ArgumentError: The thresholds disagree, there is no such prior, or an optimizer is set up
            already.
    """
    resolve_threshold(p_threshold, loga_threshold)  # a model is converted as a whole or not at all
    k1_of(prior)
    converted: list[str] = []
    left_alone: list[tuple[str, str]] = []
    named_links = _unique_named_links(chain)
    for name, link in named_links:
        if type(link) in _TWINS and link.W.update_rule is not None:
            raise ArgumentError(
                f"{name} belongs to an optimizer that would not see its new parameter log_sigma2: "
                "call to_variational_dropout before optimizer.setup"
            )
    for name, link in named_links:
        if type(link) in _TWINS:
            link.__class__ = _TWINS[type(link)]
            link.init_variational_dropout(
                p_threshold,
                loga_threshold,
                initial_log_sigma2,
                link.masks_variance_by_default if mask_variance is None else mask_variance,
                prior,
            )
            converted.append(name)
        elif link._params:
            left_alone.append((name, type(link).__name__))
    return ConversionReport(tuple(converted), tuple(left_alone))


def to_ordinary(chain: Link) -> None:
    """Turn every variational link of a model into an ordinary one with its masked weights, in place.

    Args:
        chain: The model.

    Raises:
        ArgumentError: A link has no weights yet, or is of a class of the user's own.
    """
    ordinary = {twin: kind for kind, twin in _TWINS.items()}
    for name, link in named_variational_links(chain):
        if type(link) not in ordinary:
            raise ArgumentError(
                f"{name} is a {type(link).__name__}, whose own forward is not known here: only "
                f"{' and '.join(twin.__name__ for twin in ordinary)} become ordinary layers"
            )
        W = link.masked_W().array
        del link.log_sigma2
        link.__class__ = ordinary[type(link)]
        link.W.array = W


def to_cpu_sparse(chain: Link) -> None:
    """Turn every variational link of a model into a sparse one for inference, in place.

    Args:
        chain: The model; it is moved to the CPU.

    Raises:
        ArgumentError: A link has no weights yet.
    """
    chain.to_device("@numpy")
    for _, link in named_variational_links(chain):
        W = link.masked_W().array
        b = None if link.b is None else link.b.array
        for name in list(link._params):
            delattr(link, name)
        is_linear = isinstance(link, VariationalDropoutLinear)
        link.__class__ = SparseLinear if is_linear else SparseConvolution2D
        if b is None:
            del link.b
        link.init_sparse(W, b)


def named_variational_links(chain: Link) -> list[tuple[str, Any]]:
    """List a model's variational links in the order in which Chainer walks through them.

    Args:
        chain: The model.

    Returns:
        Path, as ``l1`` or ``block/0/conv``, and link; a link under two names is listed once.
    """
    return [
        (name, link)
        for name, link in _unique_named_links(chain)
        if isinstance(link, VariationalDropout)
    ]


def named_masked_links(chain: Link) -> list[tuple[str, Any]]:
    """List a model's links with masked weights: variational ones, and sparse ones for inference.

    Args:
        chain: The model.

    Returns:
        Path and link, as in `named_variational_links`.
    """
    return [
        (name, link)
        for name, link in _unique_named_links(chain)
        if isinstance(link, VariationalDropout | Sparse)
    ]


def _unique_named_links(chain: Link) -> list[tuple[str, Any]]:
    seen: set[int] = set()
    named_links: list[tuple[str, Any]] = []
    for name, link in chain.namedlinks():
        if id(link) not in seen:
            seen.add(id(link))
            named_links.append((name.lstrip("/"), link))
    return named_links
