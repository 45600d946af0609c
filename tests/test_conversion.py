from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest
from chainer import Chain, ChainList, Sequential, optimizers

from vdprune import (
    VariationalDropoutConvolution2D,
    VariationalDropoutLinear,
    export_chain,
    to_cpu_sparse,
    to_variational_dropout,
)
from vdprune.conversion import named_variational_links
from vdprune.errors import ArgumentError


class OwnLinear(L.Linear):
    """A user's subclass, whose forward is its own."""


class Nested(Chain):
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(1, 4, 3, pad=1, nobias=True)
            self.norm = L.BatchNormalization(4)
            self.blocks = ChainList(L.Convolution2D(None, 4, 3, pad=1), L.Convolution2D(4, 4, 1))
            self.head = Sequential(L.Linear(None, 6), F.relu, L.Linear(6, 3))
            self.own = OwnLinear(3, 3)
        self.in_a_list = [self.conv]

    def forward(self, x: Any) -> Any:
        h = self.norm(self.in_a_list[0](x))
        for block in self.blocks:
            h = F.relu(block(h))
        return self.own(self.head(h))


def test_everything_nested_is_converted_and_the_rest_reported() -> None:
    model = Nested()
    report = to_variational_dropout(model)
    assert report.converted == ("blocks/0", "blocks/1", "conv", "head/0", "head/1")
    assert report.left_alone == (("norm", "BatchNormalization"), ("own", "OwnLinear"))
    assert type(model.conv) is type(model.blocks[0]) is VariationalDropoutConvolution2D
    assert type(model.head[0]) is type(model.head[2]) is VariationalDropoutLinear


def test_weights_names_and_references_are_kept() -> None:
    model = Nested()
    model(numpy.zeros((1, 1, 5, 5), "f"))
    before = {name: param.array for name, param in model.namedparams()}
    conv = model.conv
    to_variational_dropout(model)
    after = {name: param.array for name, param in model.namedparams()}
    assert model.conv is conv is model.in_a_list[0]
    assert all(after[name] is array for name, array in before.items())
    assert set(after) - set(before) == {
        f"/{name}/log_sigma2" for name in ("conv", "blocks/0", "blocks/1", "head/0", "head/1")
    }


def test_converted_model_evaluates_as_before_and_trains_with_noise() -> None:
    model = Nested()
    x = numpy.random.randn(2, 1, 5, 5).astype("f")
    with chainer.using_config("train", False):
        before = model(x).array
        to_variational_dropout(model, initial_log_sigma2=-20)
        numpy.testing.assert_allclose(model(x).array, before, rtol=1e-5, atol=1e-5)
    assert (model(x).array != model(x).array).any()


def test_open_sizes_stay_open() -> None:
    model = Sequential(L.Linear(None, 4))
    to_variational_dropout(model)
    assert model[0].log_sigma2.array is None
    model(numpy.zeros((2, 7), "f"))
    assert model[0].log_sigma2.shape == (4, 7)


def test_options_reach_the_layers() -> None:
    model = Nested()
    to_variational_dropout(model, p_threshold=0.5, initial_log_sigma2=-6)
    assert (model.conv.p_threshold, model.conv.loga_threshold) == (0.5, 0)
    assert (model.conv.log_sigma2.array == -6).all()
    assert (model.conv.mask_variance, model.head[0].mask_variance) == (True, False)
    assert model.conv.prior == "log-uniform"
    model = Nested()
    to_variational_dropout(model, mask_variance=True, prior="ard")
    assert model.head[0].mask_variance
    assert model.conv.prior == "ard"


def test_twice_is_once() -> None:
    model = Nested()
    to_variational_dropout(model)
    model.conv.log_sigma2.array[...] = -3
    report = to_variational_dropout(model)
    assert report.converted == ()
    assert ("conv", "VariationalDropoutConvolution2D") in report.left_alone
    assert (model.conv.log_sigma2.array == -3).all()


def test_a_link_under_two_names_is_one_link() -> None:
    shared = L.Linear(3, 3)
    model = Chain(a=shared, b=shared)
    report = to_variational_dropout(model)
    assert report.converted == ("a",)
    assert model.a is model.b
    assert len(named_variational_links(model)) == 1


def test_a_link_alone_is_converted() -> None:
    link = L.Linear(3, 2)
    to_variational_dropout(link)
    assert type(link) is VariationalDropoutLinear


def test_an_optimizer_set_up_before_is_refused_and_nothing_changed() -> None:
    model = Nested()
    optimizers.Adam().setup(model)
    with pytest.raises(ArgumentError, match="call to_variational_dropout before optimizer.setup"):
        to_variational_dropout(model)
    assert named_variational_links(model) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"p_threshold": 0.5, "loga_threshold": 3}, "disagree"), ({"prior": "ARD"}, "it must be")],
)
def test_options_that_are_refused_change_nothing(options: dict[str, Any], message: str) -> None:
    link = L.Linear(3, 2)
    with pytest.raises(ArgumentError, match=message):
        to_variational_dropout(link, **options)
    assert type(link) is L.Linear


def test_float64_stays_float64() -> None:
    with chainer.using_config("dtype", numpy.float64):
        link = L.Linear(3, 2)
    to_variational_dropout(link)
    assert link.log_sigma2.dtype == numpy.float64


def test_sparse_links_without_a_bias() -> None:
    model = Chain(l=VariationalDropoutLinear(4, 3, nobias=True))
    x = numpy.random.randn(2, 4).astype("f")
    with chainer.using_config("train", False):
        before = model.l(x).array
        to_cpu_sparse(model)
        numpy.testing.assert_allclose(model.l(x).array, before, atol=1e-6)
    assert model.l.b is None


def test_sparse_links_are_not_exported_as_there_is_no_way_back(tmp_path: Path) -> None:
    model = Chain(l=VariationalDropoutLinear(4, 3))
    to_cpu_sparse(model)
    with pytest.raises(ArgumentError, match="was made sparse by to_cpu_sparse.*: export it before"):
        export_chain(model, (4,), tmp_path / "w.npz")
