"""Layers give the same with one thread and with two."""

from collections.abc import Callable
from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable

from vdprune import threads
from vdprune.functions import variational_dropout_convolution_2d, variational_dropout_linear
from vdprune.functions.linear_layers import LinearLayers
from vdprune.threads import Team


def run(layer: Callable[..., Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    """Return pre-activations, KL divergence and all gradients."""
    random = numpy.random.default_rng(0)
    x, W, b = (Variable(random.standard_normal(shape)) for shape in shapes)
    log_sigma2 = Variable(random.uniform(-8, 4, W.shape))
    numpy.random.seed(1)
    y, divergence = layer(x, W, log_sigma2, b)
    F.sum(y * y + divergence).backward()
    return [y.array, divergence.array, x.grad, W.grad, log_sigma2.grad, b.grad]


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (variational_dropout_linear, [(6, 9), (7, 9), (7,)]),
        (variational_dropout_convolution_2d, [(5, 2, 6, 6), (3, 2, 3, 3), (3,)]),
        (variational_dropout_convolution_2d, [(5, 16, 6, 6), (16, 16, 3, 3), (16,)]),
    ],
    ids=["linear", "convolution", "Winograd"],
)
def test_two_threads(
    layer: Callable[..., Any], shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    counts: list[int] = []
    results = []
    for size in (1, 2):
        team = Team(size)
        share = team._run

        def count(tasks: Any, *rest: Any, share: Any = share) -> list[Any]:
            counts.append(len(tasks))
            return share(tasks, *rest)

        monkeypatch.setattr(team, "_run", count)
        for user in (LinearLayers._carry_out, variational_dropout_convolution_2d):
            monkeypatch.setitem(user.__globals__, "get_team", lambda team=team: team)
        results.append(run(layer, shapes))
    assert len(counts) == 2 and min(counts) > 1  # forward and back
    for one, two in zip(*results, strict=True):
        numpy.testing.assert_allclose(two, one, rtol=1e-6)  # noise is float32
