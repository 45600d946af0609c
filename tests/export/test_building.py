"""Chainer models out of weight files."""

from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import vdprune
from tests.export.test_tracing import Residual
from vdprune.export.collecting import collect_chain
from vdprune.graph import Graph


def logits(model: Any, x: Any) -> Any:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x).array


class Nested(chainer.Chain):
    """Links in links, one of them used twice, and a parameter without a link."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.body = chainer.Sequential(L.Linear(6, 4), F.relu, L.Linear(4, 4))
            self.again = L.Linear(4, 4)
            self.W = chainer.Parameter(numpy.random.randn(3, 4).astype("f"))

    def forward(self, x: Any) -> Any:
        h = self.again(F.tanh(self.again(self.body(x))))
        return F.linear(h, self.W)


@pytest.mark.parametrize(("make", "shape"), [(Residual, (2, 8, 8)), (Nested, (6,))])
def test_models_of_ones_own_come_back(make: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = make()
    x = numpy.random.default_rng(0).standard_normal((5, *shape)).astype("f")
    logits(model, x)  # sizes that were left open
    vdprune.to_variational_dropout(model)
    expected = logits(model, x)
    vdprune.export_chain(model, shape, tmp_path / "w.npz", "dense")
    built = vdprune.build_chain(vdprune.load_weights(tmp_path / "w.npz"))
    numpy.testing.assert_allclose(logits(built, x), expected, rtol=1e-4, atol=1e-5)
    copied = built.copy("copy")
    for param in built.params():
        param.array[...] = 0
    numpy.testing.assert_allclose(logits(copied, x), expected, rtol=1e-4, atol=1e-5)


def test_bytes_are_taken_where_nothing_scales_them() -> None:
    model = Nested()
    vdprune.to_variational_dropout(model)
    built = vdprune.build_chain(collect_chain(model, (6,)))
    x = numpy.random.default_rng(0).integers(0, 256, (5, 6), numpy.uint8)
    expected = logits(model, x.astype("f"))
    for given in (x, chainer.Variable(x)):
        numpy.testing.assert_allclose(logits(built, given), expected, rtol=1e-5, atol=1e-4)


def test_layers_have_their_names() -> None:
    model = Nested()
    vdprune.to_variational_dropout(model)
    built = vdprune.build_chain(collect_chain(model, (6,)))
    names = {name for name, link in built.namedlinks() if isinstance(link, L.Linear)}
    assert names == {"/body/0", "/body/1", "/again", "/node7"}
    vdprune.to_variational_dropout(built)  # to go on training


def test_names_that_are_taken_are_not_used() -> None:
    model = Nested()
    vdprune.to_variational_dropout(model)
    weights = collect_chain(model, (6,))
    found = weights.graph.to_json()
    for node in found["nodes"]:
        for array in node["arrays"].values():
            array[0] = array[0].replace("again", "forward").replace("body/0", "body/copy")
    renamed = {
        path.replace("again", "forward").replace("body/0", "body/copy"): array
        for path, array in {**weights.weights, **weights.others}.items()
    }
    changed = vdprune.formats.Weights(weights.header, Graph.from_json(found), renamed, {})
    x = numpy.ones((2, 6), "f")
    numpy.testing.assert_allclose(
        logits(vdprune.build_chain(changed), x), logits(model, x), rtol=1e-4, atol=1e-5
    )


def test_a_link_is_used_again_only_where_it_is_the_same() -> None:
    arrays = {"W": ["l/W", [2, 2]], "b": ["l/b", [2]]}
    nodes = [
        {"operation": "linear", "inputs": [i], "attributes": {}, "arrays": own}
        for i, own in enumerate([arrays, {"W": arrays["W"]}, arrays])
    ]
    graph = Graph.from_json({"input_shape": [2], "nodes": nodes})
    header = {"arch": "own", "arch_kwargs": {}, "layers": ["l"]}
    W, b = numpy.eye(2, dtype="f") * 10, numpy.ones(2, "f")
    built = vdprune.build_chain(vdprune.formats.Weights(header, graph, {"l/W": W}, {"l/b": b}))
    # ((1 * 10 + 1) * 10) * 10 + 1
    numpy.testing.assert_allclose(logits(built, numpy.ones((1, 2), "f")), [[1101, 1101]])
    assert len(list(built.children())) == 2


def test_what_evaluation_does_not_use_is_left_out(tmp_path: Path) -> None:
    class Extra(chainer.Chain):
        def __init__(self) -> None:
            super().__init__()
            with self.init_scope():
                self.a, self.unused = L.Linear(6, 4), L.Linear(4, 3)
            self.add_persistent("note", numpy.array("text"))

        def forward(self, x: Any) -> Any:
            return self.a(x)

    model = Extra()
    vdprune.to_variational_dropout(model)
    vdprune.export_chain(model, (6,), tmp_path / "w.h5")
    loaded = vdprune.load_weights(tmp_path / "w.h5")
    assert (list(loaded.weights), list(loaded.others)) == (["a/W"], ["a/b"])


@pytest.mark.parametrize("name", ["graph", "header"])
def test_names_that_files_need_are_refused(name: str, tmp_path: Path) -> None:
    class Named(chainer.Chain):
        def forward(self, x: Any) -> Any:
            return self[name](x)

    model = Named(**{name: L.Linear(6, 4)})
    vdprune.to_variational_dropout(model)
    weights = collect_chain(model, (6,))
    with pytest.raises(vdprune.VdpruneError, match=f"a layer is called '{name}'"):
        vdprune.formats.save_weights(tmp_path / "w.h5", weights)
