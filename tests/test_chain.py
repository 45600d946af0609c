import math
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest
from chainer import as_array, reporter, serializers

from vdprune import (
    Adam,
    VariationalDropoutChain,
    VariationalDropoutConvolution2D,
    VariationalDropoutLinear,
)
from vdprune.errors import ArgumentError, NonFiniteLossError


class Net(VariationalDropoutChain):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.init_scope():
            self.conv = VariationalDropoutConvolution2D(1, 4, 3)
            self.norm = L.BatchNormalization(4)
            self.out = VariationalDropoutLinear(None, 3)

    def forward(self, x: Any) -> Any:
        return self.out(F.relu(self.norm(self.conv(x))))


def batch() -> tuple[numpy.ndarray, numpy.ndarray]:
    return numpy.random.randn(8, 1, 5, 5).astype("f"), numpy.random.randint(0, 3, 8).astype("i")


def observe(model: Net, **config: Any) -> dict[str, float]:
    """What calc_loss reports of one batch."""
    observer = reporter.Reporter()
    observer.add_observer("main", model)
    observation: dict[str, Any] = {}
    with observer.scope(observation), chainer.using_config("train", config.get("train", True)):
        model.calc_loss(*batch())
    return {name.removeprefix("main/"): float(value) for name, value in observation.items()}


def test_reports_the_names_of_old() -> None:
    observation = observe(Net(num_train=60))
    assert set(observation) == {
        "loss",
        "class",
        "kl",
        "kl_coef",
        "accuracy",
        "mean_p",
        "sparsity",
        "W/Wnz",
    }


def test_loss_is_cross_entropy_and_weighted_kl_over_n() -> None:
    model = Net(num_train=60, warm_up=0)
    model.kl_coef = 0.3
    observation = observe(model)
    kl = float(model.conv.kl_divergence().array + model.out.kl_divergence().array)
    assert observation["kl"] == pytest.approx(kl / 60, rel=1e-5)
    assert observation["loss"] == pytest.approx(observation["class"] + 0.3 * kl / 60, rel=1e-5)


def test_the_mask_of_the_variance_can_be_set_between_training_steps() -> None:
    found = []
    for masks in ((False, True), (True, True)):
        numpy.random.seed(5)
        model = Net(num_train=60, warm_up=0)
        observe(model)
        model.out.W.array[...] = 1
        model.out.log_sigma2.array[...] = numpy.random.choice([-2, 5], model.out.W.shape)
        for mask_variance in masks:
            model.out.mask_variance = mask_variance
            numpy.random.seed(6)
            loss = observe(model)["class"]
        found.append(loss)
    assert found[0] == found[1]


def test_gradient_of_the_kl_part() -> None:
    """The gradient of log_sigma2 far from the data is kl_coef / N times that of the KL."""
    model = Net(num_train=50, warm_up=0)
    model.kl_coef = 0.5
    x, t = batch()
    model.calc_loss(numpy.zeros_like(x), t)
    model.conv.W.array[...] = 0.5
    model.cleargrads()
    model.calc_loss(numpy.zeros_like(x), t).backward()
    joint = model.conv.log_sigma2.grad.copy()
    model.cleargrads()
    model.conv.kl_divergence().backward()
    numpy.testing.assert_allclose(joint, model.conv.log_sigma2.grad * 0.5 / 50, rtol=1e-5)


def test_warm_up_raises_the_kl_weight_with_each_training_step() -> None:
    model = Net(num_train=60, warm_up=0.4)
    weights = [observe(model)["kl_coef"] for _ in range(4)]
    assert weights == pytest.approx([0, 0.4, 0.8, 1])
    observe(model, train=False)
    assert model.kl_coef == 1


def test_without_warm_up_the_kl_weight_is_one() -> None:
    assert Net(warm_up=0).kl_coef == 1


def test_statistics_agree_with_the_weights() -> None:
    model = Net(num_train=60)
    observe(model)
    model.conv.W.array[...] = 1
    model.out.W.array[...] = 1
    model.conv.log_sigma2.array[...] = 5
    model.out.log_sigma2.array[...] = 0
    model.statistics_interval = 1
    observation = observe(model)
    small, large = model.conv.W.size, model.out.W.size
    assert observation["sparsity"] == pytest.approx(small / (small + large))
    assert observation["W/Wnz"] == pytest.approx((small + large) / large)
    p = (small / (1 + numpy.exp(-5)) + large * 0.5) / (small + large)
    assert observation["mean_p"] == pytest.approx(p, rel=1e-5)


def test_statistics_are_counted_once_per_interval() -> None:
    model = Net(num_train=60, statistics_interval=3)
    first = observe(model)["sparsity"]
    for link in (model.conv, model.out):
        link.log_sigma2.array[...] = 20
    assert [observe(model)["sparsity"] for _ in range(3)] == [first, first, 1]


def test_evaluation_reports_no_statistics_and_changes_nothing() -> None:
    model = Net(num_train=60)
    observe(model)
    before = (model.kl_coef, model.iteration)
    observation = observe(model, train=False)
    assert set(observation) == {"loss", "class", "kl", "kl_coef", "accuracy"}
    assert (model.kl_coef, model.iteration) == before


@pytest.mark.parametrize("num_train", [None, 0, -5, 0.5, math.nan])
def test_num_train_must_be_set(num_train: float | None) -> None:
    message = rf"Net.num_train is {num_train}: .* model.num_train = len"
    with pytest.raises(ArgumentError, match=message):
        Net(num_train=num_train).calc_loss(*batch())


def test_without_variational_layers_the_loss_is_the_cross_entropy() -> None:
    class Plain(VariationalDropoutChain):
        def __init__(self) -> None:
            super().__init__()
            with self.init_scope():
                self.out = L.Linear(None, 3)

        def forward(self, x: Any) -> Any:
            return self.out(x)

    model = Plain()
    x, t = batch()
    expected = F.softmax_cross_entropy(model(x), t)
    assert float(model.calc_loss(x, t).array) == pytest.approx(float(expected.array), rel=1e-6)


def test_kl_weight_and_step_count_are_saved(tmp_path: Path) -> None:
    model = Net(num_train=60, warm_up=0.25)
    for _ in range(3):
        observe(model)
    serializers.save_hdf5(tmp_path / "net.h5", model)
    other = Net()
    serializers.load_hdf5(tmp_path / "net.h5", other)
    assert (other.kl_coef, other.iteration) == (0.75, 3)


def test_cooperates_with_an_ordinary_chain() -> None:
    class Ordinary(chainer.Chain):
        def __init__(self, width: int) -> None:
            super().__init__()
            with self.init_scope():
                self.l1 = L.Linear(4, width)

        def forward(self, x: Any) -> Any:
            return self.l1(x)

    class Variational(VariationalDropoutChain, Ordinary):
        def __init__(self) -> None:
            super().__init__(warm_up=0.01, num_train=10, width=5)

    model = Variational()
    report = model.to_variational_dropout()
    assert report.converted == ("l1",)
    loss = model.calc_loss(numpy.ones((2, 4), "f"), numpy.zeros(2, "i"))
    assert loss.shape == ()


def test_to_cpu_sparse_predicts_the_same() -> None:
    model = Net(num_train=60)
    x, _ = batch()
    model(x)
    for link in (model.conv, model.out):
        link.W.array[...] = numpy.random.randn(*link.W.shape)
        link.log_sigma2.array[...] = numpy.random.uniform(-5, 8, link.W.shape)
    with chainer.using_config("train", False):
        before = model(x).array
        counts = model.sparsity()
        model.to_cpu_sparse()
        numpy.testing.assert_allclose(model(x).array, before, atol=1e-4)
    assert model.conv.data.size + model.out.data.size == counts.nonzero
    assert model.sparsity() == counts
    assert [name for name, _ in model.namedparams()] == ["/norm/beta", "/norm/gamma"]


@pytest.mark.parametrize("attribute", ["W", "log_sigma2", "b"])
def test_a_parameter_that_is_not_finite_is_named(attribute: str) -> None:
    model = Net(num_train=60)
    observe(model)
    getattr(model.out, attribute).array.flat[0] = numpy.nan
    with pytest.raises(
        NonFiniteLossError,
        match=rf"the loss is nan at iteration 2: 1 of the \d+ values of {attribute} of layer out",
    ):
        observe(model)


def test_inputs_that_are_not_finite_are_named() -> None:
    model = Net(num_train=60)
    x, t = batch()
    x[0] = numpy.inf
    message = (
        "iteration 1: the batch of inputs holds numbers that are not finite; clean the data first"
    )
    with numpy.errstate(invalid="ignore"), pytest.raises(NonFiniteLossError, match=message):
        model.calc_loss(x, t)


def test_the_first_layer_that_overflows_is_named() -> None:
    model = Net(num_train=60)
    observe(model)
    model.out.b.array[...] = [3e38, -3e38, 0]
    model.out.W.array[...] = 3e38
    with numpy.errstate(all="ignore"), pytest.raises(NonFiniteLossError, match="of layer out are"):
        observe(model)


def test_a_loss_that_is_not_finite_does_not_count_as_a_step() -> None:
    model = Net(num_train=60)
    observe(model)
    model.out.W.array[...] = numpy.nan
    with pytest.raises(NonFiniteLossError):
        observe(model)
    assert model.iteration == 1


def make_partly_dead() -> Net:
    model = Net(num_train=60, warm_up=0)
    observe(model, train=False)  # gives the open layer its size
    for link in (model.conv, model.out):
        link.W.array[...] = numpy.random.uniform(0.3, 1, link.W.shape)
        link.log_sigma2.array[:] = -9
        link.log_sigma2.array[0] = 9
    return model


def test_compaction_starts_with_the_next_training_step_and_ends_with_expand() -> None:
    model = make_partly_dead()
    whole = model.conv.W.shape
    model.compact(model.find_compaction())
    assert set(model.compaction) == {"conv", "out"}
    observe(model, train=False)
    assert model.conv.W.shape == whole
    observe(model)
    assert model.conv.W.shape[0] == whole[0] - 1
    model.expand()
    assert model.conv.W.shape == whole
    observe(model)
    assert model.conv.W.shape[0] == whole[0] - 1
    model.compact({})
    observe(model)
    assert model.conv.W.shape == whole


def test_what_is_reported_does_not_depend_on_compaction() -> None:
    observations: list[dict[str, Any]] = []
    for is_compacted in (False, True):
        numpy.random.seed(1)
        model = make_partly_dead()
        model.conv.mask_variance = model.out.mask_variance = True
        if is_compacted:
            model.compact(model.find_compaction())
        observations.append(observe(model))
        x, _ = batch()
        with chainer.using_config("train", False):
            observations[-1]["logits"] = model(x).array
    assert observations[0].keys() == observations[1].keys()
    for name, expected in observations[0].items():
        numpy.testing.assert_allclose(observations[1][name], expected, rtol=1e-4, err_msg=name)


def test_compacted_training_is_training() -> None:
    """Where the variance of cut weights is masked, dropping them changes nothing that is learned."""
    results = []
    for every in (None, 3):
        numpy.random.seed(4)
        model = make_partly_dead()
        model.conv.mask_variance = model.out.mask_variance = True
        optimizer = Adam().setup(model)
        x, t = batch()
        for step in range(9):
            if every and step % every == 0:
                model.compact(model.find_compaction())
            optimizer.update(model.calc_loss, x, t)
        model.expand()
        results.append([as_array(link.masked_W()) for _, link in model.named_variational_links()])
        results[-1].append(
            model.out.b.array
        )  # the other one's gradient is lost in the normalization
    for found, expected in zip(*results, strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_saving_and_loading_a_compacted_chain(tmp_path: Path) -> None:
    model = make_partly_dead()
    model.compact(model.find_compaction())
    observe(model)
    serializers.save_npz(tmp_path / "model.npz", model)
    model.conv.log_sigma2.array[...] = -9
    observe(model)
    serializers.load_npz(tmp_path / "model.npz", model)
    assert model.compaction == {}
    other = make_partly_dead()
    serializers.load_npz(tmp_path / "model.npz", other)
    for (name, mine), (_, theirs) in zip(
        sorted(model.namedparams()), sorted(other.namedparams()), strict=True
    ):
        numpy.testing.assert_array_equal(mine.array, theirs.array, err_msg=name)


@pytest.mark.parametrize("mode", ["share", "copy"])
def test_a_copy_is_whole(mode: str) -> None:
    model = make_partly_dead()
    model.compact(model.find_compaction())
    observe(model)
    copied = model.copy(mode)
    assert copied.compaction == {}
    assert copied.conv.W.shape == model.conv.W.shape == (4, 1, 3, 3)
    observe(copied, train=False)


def test_tied_layers_are_not_compacted() -> None:
    model = Net(num_train=60)
    with model.init_scope():
        model.twin = VariationalDropoutConvolution2D(1, 4, 3)
    observe(model, train=False)
    model.twin.W, model.twin.log_sigma2 = model.conv.W, model.conv.log_sigma2
    model.conv.log_sigma2.array[0] = 20
    assert "conv" not in model.find_compaction()


def test_divergence_has_a_gradient_after_a_pass_without_a_graph() -> None:
    """As F.forget and a first look at the data make one."""

    class Looking(Net):
        def forward(self, x: Any) -> Any:
            with chainer.no_backprop_mode():
                super().forward(x)
            return super().forward(x)

    model = Looking(num_train=60, warm_up=0)
    x, t = batch()
    model.calc_loss(numpy.zeros_like(x), t)
    model.cleargrads()
    model.calc_loss(numpy.zeros_like(x), t).backward()
    assert abs(model.conv.log_sigma2.grad).max() > 0.005
