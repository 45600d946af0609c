"""``F.relu`` is the same as Chainer's own, on one thread and on two."""

from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable
from chainer.functions.activation.relu import ReLU

from vdprune import threads
from vdprune.chainer_speed import relu as module
from vdprune.threads import Team

ARRAYS = {
    "matrix": numpy.random.default_rng(0).standard_normal((31, 17)),
    "special": numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1e-310]),
    "transposed": numpy.random.default_rng(1).standard_normal((4, 3)).T,
    "empty": numpy.empty((0, 3)),
    "scalar": numpy.array(-1.5),
    "half": numpy.random.default_rng(2).standard_normal((3, 4)).astype("f2"),
}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", ARRAYS)
def test_it_is_chainers(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    team = Team(size)
    counts: list[int] = []

    def count(tasks: Any, run: Any = team.run, **options: Any) -> Any:
        counts.append(len(tasks))
        return run(tasks, **options)

    monkeypatch.setattr(team, "run", count)
    monkeypatch.setattr(module, "get_team", lambda: team)
    x = Variable(ARRAYS[name])
    (expected,) = ReLU().forward_cpu((x.array,))
    g = numpy.random.default_rng(3).standard_normal(x.shape).astype(x.dtype)
    y = F.relu(x)
    y.grad = g
    y.backward()
    numpy.testing.assert_array_equal(y.array, expected)
    numpy.testing.assert_array_equal(x.grad, g * (expected > 0))
    assert y.dtype == x.grad.dtype == x.dtype
    is_shared = size == 2 and name in ("matrix", "special")
    assert counts == ([2, 2] if is_shared else [])
