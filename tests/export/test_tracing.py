"""Graphs of Chainer models."""

from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import vdprune
from vdprune.archs import ARCHS
from vdprune.errors import ArgumentError
from vdprune.export.tracing import trace
from vdprune.graph import find_shapes

SMALL: dict[str, dict[str, Any]] = {"vgg-like": {"width": 0.0625}}


@pytest.mark.parametrize("arch", ARCHS)
def test_archs(arch: str) -> None:
    model = vdprune.build_arch(arch, **SMALL.get(arch, {}))
    model.to_variational_dropout()
    link = model.named_variational_links()[0][1]
    link.log_sigma2.array[0] = 20  # masked
    before = {name: param.array.copy() for name, param in model.namedparams()}
    graph, arrays = trace(model, model.scaling.mean.shape)
    assert find_shapes(graph)[-1] == (10,)
    assert graph.arrays.keys() == arrays.keys()
    for name, shape in graph.arrays.items():
        assert arrays[name].shape == shape
    first = model.named_variational_links()[0][0]
    numpy.testing.assert_array_equal(arrays[f"{first}/W"], link.masked_W().array)
    assert not arrays[f"{first}/W"][0].any()
    for name, param in model.namedparams():
        assert numpy.array_equal(param.array, before[name]), "the model itself is left alone"


def test_lenet5_is_what_it_is() -> None:
    model = vdprune.build_arch("lenet5")
    model.to_variational_dropout()
    graph, _ = trace(model, (1, 28, 28))
    assert [node.operation for node in graph.nodes] == [
        "scaling",
        *["convolution_2d", "max_pooling_2d", "relu"] * 2,
        *["reshape", "linear", "relu", "linear"],
    ]
    assert [node.inputs for node in graph.nodes] == [(i,) for i in range(11)]
    assert [a.path for a in graph.nodes[0].arrays.values()] == ["scaling/mean", "scaling/scale"]
    assert graph.nodes[9].arrays == {}
    assert list(graph.nodes[10].arrays) == ["W", "b"]


class Residual(chainer.Chain):
    """All that a graph can say."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.a = L.Convolution2D(2, 4, 3, pad=1)
            self.b = L.Convolution2D(4, 4, 3, pad=2, dilate=2, groups=2, nobias=True)
            self.bn = L.BatchNormalization(4, use_gamma=False)
            self.l = L.Linear(None, 5)
            self.m = L.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        h = F.elu(self.a(x))
        h = F.leaky_relu(self.bn(self.b(h))) + h
        h = F.concat([F.average_pooling_2d(h, 2), F.max_pooling_2d(h, 3, 2, cover_all=True)])
        h = F.dropout(F.clipped_relu(h, 2.5))
        h = F.tanh(self.l(F.reshape(h, (len(h), -1))))
        return F.softmax(F.sigmoid(self.m(h)))


def test_a_model_of_ones_own() -> None:
    model = Residual()
    with chainer.using_config("train", False):
        model(numpy.zeros((1, 2, 8, 8), "f"))  # the size of l
    vdprune.to_variational_dropout(model)
    graph, arrays = trace(model, (2, 8, 8))
    operations = [node.operation for node in graph.nodes]
    assert operations == [
        "convolution_2d",
        "elu",
        "convolution_2d",
        "batch_normalization",
        "leaky_relu",
        "add",
        "average_pooling_2d",
        "max_pooling_2d",
        "concatenate",
        "clipped_relu",
        "reshape",
        "linear",
        "tanh",
        "linear",
        "sigmoid",
        "softmax",
    ]
    assert graph.nodes[5].inputs == (5, 2)
    assert graph.nodes[2].attributes == {
        "stride": [1, 1],
        "pad": [2, 2],
        "dilate": [2, 2],
        "groups": 2,
    }
    gamma = graph.nodes[3].arrays["gamma"]
    assert gamma.path.startswith("constants/")
    assert numpy.array_equal(arrays[gamma.path], numpy.ones(4))
    assert graph.nodes[3].arrays["var"].path == "bn/avg_var"


class Own(chainer.Chain):
    """A model of one linear layer, whose forward a test gives."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self._forward = forward
        with self.init_scope():
            self.l = L.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: F.exp(self.l(x)), "the model uses Exp of chainer"),
        (lambda self, x: x, "returns its input"),
        (lambda self, x: self.l(x).array, "returns ndarray: it must return one Variable"),
        (lambda self, x: (self.l(x), x), "returns tuple"),
        (lambda self, x: self.l(numpy.ones((2, 4), "f")), "not come from its input alone"),
        (lambda self, x: self.l(x) + numpy.ones((2, 4), "f"), "not come from its input alone"),
        (lambda self, x: F.reshape(self.l(x), (8,)), "where the batch does not stay first"),
        (lambda self, x: F.linear(x, F.concat([x, x], axis=0)), "weights have to be parameters"),
        (lambda self, x: F.softmax(self.l(x), axis=0), "Softmax over axis 0"),
        (lambda self, x: F.concat([self.l(x), x], axis=0), "Concat over axis 0"),
    ],
)
def test_what_a_graph_can_not_say_is_refused(forward: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        trace(Own(forward), (4,))


def test_links_of_a_class_of_ones_own_are_refused() -> None:
    class Doubled(vdprune.VariationalDropoutLinear):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    model = chainer.Sequential(Doubled(4, 3))
    with pytest.raises(ArgumentError, match="0 is a Doubled, whose own forward is not known"):
        trace(model, (4,))
