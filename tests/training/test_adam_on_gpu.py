"""Adam's steps on a GPU."""

from typing import Any

import chainer
import numpy
import pytest
from chainer import Link, Parameter, optimizer_hooks

from tests.training.test_on_gpu import CPU
from vdprune import Adam

pytestmark = pytest.mark.gpu


def make_link(device: Any, dtype: str = "f8") -> Link:
    link = Link()
    with link.init_scope():
        link.W = Parameter(numpy.linspace(-1, 1, 60, dtype=dtype).reshape(6, 10))
        link.b = Parameter(numpy.linspace(1, 2, 7, dtype=dtype))
        link.unused = Parameter(numpy.ones(3, dtype))
    link.to_device(device)
    return link


def test_an_interrupted_update_is_finished(gpu: Any) -> None:
    """Parameters that waited for their launch when something came in between."""
    link = make_link(gpu)
    optimizer = Adam().setup(link)
    for param in link.params():
        param.grad = gpu.xp.ones_like(param.array)
    before = {name: param.array.get() for name, param in link.namedparams()}

    class Stops(chainer.optimizers.adam.AdamRule):
        def update(self, param: Any) -> None:
            raise KeyboardInterrupt

    link.unused.update_rule = Stops(optimizer.hyperparam)
    with pytest.raises(KeyboardInterrupt):
        optimizer.update()
    for name, param in link.namedparams():
        if param.update_rule.t:
            assert (param.array.get() != before[name]).all(), name


@pytest.mark.parametrize("hook", [None, "pre", "post"])
@pytest.mark.parametrize("options", [{}, {"weight_decay_rate": 0.1}, {"amsgrad": True}], ids=str)
def test_adam_takes_chainers_steps(gpu: Any, options: dict[str, Any], hook: str | None) -> None:
    found = []
    for kind, device in ((chainer.optimizers.Adam, CPU), (Adam, gpu)):
        link = make_link(device)
        optimizer = kind(**options).setup(link)
        if hook == "pre":
            optimizer.add_hook(optimizer_hooks.WeightDecay(0.1))
        if hook == "post":  # which sees what the update has made of the parameters
            optimizer.add_hook(Halve())
        for step in range(5):
            link.cleargrads()
            for param in (link.W, link.b):
                param.grad = device.xp.cos(param.array * (step + 3))
            optimizer.update()
        found.append([CPU.send(param.array) for _, param in sorted(link.namedparams())])
    for mine, theirs in zip(found[1], found[0], strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12)


class Halve:
    name = "Halve"
    timing = "post"
    call_for_each_param = False

    def __call__(self, optimizer: Any) -> None:
        for param in optimizer.target.params():
            param.array[...] *= 0.5


def test_an_update_of_one_parameter_alone_happens_at_once(gpu: Any) -> None:
    link = make_link(gpu)
    Adam().setup(link)
    link.W.grad = gpu.xp.ones_like(link.W.array)
    before = link.W.array.get()
    link.W.update()
    assert (link.W.array.get() != before).all()
