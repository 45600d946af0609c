"""Layers that are trained without what has no weights left."""

from typing import Any

import numpy
import pytest
from chainer import Variable

import vdprune
from vdprune import VariationalDropoutConvolution2D, VariationalDropoutLinear
from vdprune.errors import ArgumentError
from vdprune.links import compaction
from vdprune.links.compaction import compact, expand, find_alive

LINKS: dict[str, Any] = {
    "linear": lambda **kwargs: VariationalDropoutLinear(7, 6, **kwargs),
    "convolution": lambda **kwargs: VariationalDropoutConvolution2D(7, 6, 3, pad=1, **kwargs),
}
INPUTS = {"linear": (4, 7), "convolution": (4, 7, 5, 5)}
kinds = pytest.mark.parametrize("kind", LINKS)


def make_partly_dead(kind: str, **kwargs: Any) -> Any:
    """A link whose outputs 0 and 3, and inputs 2 and 6, have no weights left."""
    link = LINKS[kind](**kwargs)
    link.W.array[...] = numpy.random.uniform(0.3, 1, link.W.shape)
    link.log_sigma2.array[...] = numpy.random.choice([-9, 3], link.W.shape, p=[0.8, 0.2])
    link.log_sigma2.array[[0, 3]] = 4
    link.log_sigma2.array[:, [2, 6]] = 4
    return link


def forward_and_backward(link: Any, x: numpy.ndarray) -> dict[str, Any]:
    numpy.random.seed(7)
    batch = Variable(x)
    y = link(batch)
    link.cleargrads()
    y.grad = numpy.cos(numpy.arange(y.size, dtype="f").reshape(y.shape))
    y.backward()
    return {"y": y.array, "x": batch.grad, "b": None if link.b is None else link.b.grad}


@kinds
def test_alive_is_what_has_weights(kind: str) -> None:
    alive = find_alive(make_partly_dead(kind))
    assert alive is not None
    assert alive.outputs.tolist() == [1, 2, 4, 5]
    assert alive.inputs.tolist() == [0, 1, 3, 4, 5]
    assert alive.shape == (6, 7)


@kinds
def test_all_alive_or_all_dead_is_nothing_to_compact(kind: str) -> None:
    link = LINKS[kind]()
    link.W.array[...] = 1
    assert find_alive(link) is None
    link.log_sigma2.array[...] = 9
    assert find_alive(link) is None


def test_groups_and_open_links_are_left_alone() -> None:
    link = VariationalDropoutConvolution2D(4, 4, 3, groups=2)
    link.log_sigma2.array[0] = 9
    assert find_alive(link) is None
    assert find_alive(VariationalDropoutLinear(None, 3)) is None


@kinds
@pytest.mark.parametrize("nobias", [False, True])
def test_results_and_gradients_stay(kind: str, nobias: bool) -> None:
    """The variance of cut weights is masked, so what is dropped had no say."""
    link = make_partly_dead(kind, nobias=nobias, mask_variance=True)
    x = numpy.random.randn(*INPUTS[kind]).astype("f")
    before = forward_and_backward(link, x)
    whole_grad = link.W.grad.copy()
    alive = find_alive(link)
    assert alive is not None
    compact(link, alive)
    assert link.W.shape[:2] == link.log_sigma2.shape[:2] == (4, 5)
    after = forward_and_backward(link, x)
    for name, expected in before.items():
        if expected is not None:
            numpy.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-5)
    cut = whole_grad[numpy.ix_(alive.outputs, alive.inputs)]
    numpy.testing.assert_allclose(link.W.grad, cut, rtol=1e-4, atol=1e-5)


@kinds
def test_what_describes_the_weights_has_the_whole_size(kind: str) -> None:
    link = make_partly_dead(kind)
    masked, p = link.masked_W().array, link.sum_of_p()
    compact(link, find_alive(link))
    numpy.testing.assert_array_equal(link.masked_W().array, masked)
    assert link.sum_of_p() == pytest.approx(p, rel=1e-5)


@kinds
def test_expanding_brings_everything_back(kind: str) -> None:
    link = make_partly_dead(kind)
    optimizer = vdprune.Adam().setup(link)
    x = numpy.random.randn(*INPUTS[kind]).astype("f")

    def step() -> None:
        forward_and_backward(link, x)
        optimizer.update()

    step()
    alive = find_alive(link)
    assert alive is not None
    arrays = {name: getattr(link, name).array.copy() for name in ("W", "log_sigma2")}
    moments = {name: getattr(link, name).update_rule.state["m"].copy() for name in arrays}
    compact(link, alive)
    step()
    expand(link)
    expand(link)
    places = numpy.ix_(alive.outputs, alive.inputs)
    for name, before in arrays.items():
        param = getattr(link, name)
        for now, then in ((param.array, before), (param.update_rule.state["m"], moments[name])):
            assert now.shape == then.shape
            assert (now[places] != then[places]).any()
            changed = now != then
            changed[places] = False
            assert not changed.any()
    step()


@kinds
def test_an_optimizer_that_has_not_stepped_yet(kind: str) -> None:
    link = make_partly_dead(kind)
    compact(link, find_alive(link))
    optimizer = vdprune.Adam().setup(link)
    x = numpy.random.randn(*INPUTS[kind]).astype("f")
    forward_and_backward(link, x)
    optimizer.update()
    expand(link)
    for name in ("W", "log_sigma2"):
        param = getattr(link, name)
        assert param.update_rule.state["v"].shape == param.shape
    forward_and_backward(link, x)
    optimizer.update()


@kinds
def test_the_divergence_of_what_was_dropped_is_known(kind: str) -> None:
    link = make_partly_dead(kind)
    before = float(link.kl_divergence().array)
    compact(link, find_alive(link))
    assert link.whole is not None
    now = float(link.kl_divergence().array)
    assert 0 < now < before
    assert now + link.whole.dropped_divergence == pytest.approx(before, rel=1e-5)


@kinds
def test_what_is_left_does_not_matter_to_the_divergence_of_what_was_dropped(kind: str) -> None:
    """A run that is resumed compacts again, when what is left has gone on learning."""
    link = make_partly_dead(kind)
    alive = find_alive(link)
    found = []
    for _ in range(20):
        compact(link, alive)
        assert link.whole is not None
        found.append((link.whole.dropped_divergence, link.whole.dropped_p))
        link.W.array[...] *= 1.01
        expand(link)
    assert len(set(found)) == 1


@kinds
def test_inputs_that_do_not_fit_are_refused(kind: str) -> None:
    link = make_partly_dead(kind)
    compact(link, find_alive(link))
    shape = INPUTS[kind]
    for x in (
        numpy.zeros((shape[0], shape[1] + 1, *shape[2:]), "f"),
        numpy.zeros(shape, "f8"),
    ):
        with pytest.raises(ArgumentError, match="a compacted layer with 7 inputs got float"):
            link(x)


@kinds
def test_an_interruption_in_the_middle_is_undone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = make_partly_dead(kind)
    alive = find_alive(link)
    assert alive is not None
    before = link.W.array.copy()
    cut = compaction._cut

    def interrupt(array: Any, alive: Any) -> Any:
        if array is link.log_sigma2.array:
            raise KeyboardInterrupt
        return cut(array, alive)

    monkeypatch.setattr(compaction, "_cut", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compact(link, alive)
    expand(link)
    numpy.testing.assert_array_equal(link.W.array, before)
    assert link.log_sigma2.shape == before.shape
