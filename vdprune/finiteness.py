"""Finding out where a network's numbers stopped being finite."""

from typing import Any

import chainer
from chainer import Chain, LinkHook, Variable, as_array
from chainer.backends import cuda

from vdprune import kernels
from vdprune.errors import NonFiniteLossError

_SLOWER = "lower the learning rate, or raise the KL weight more slowly"
_SMALLER = f"give it smaller inputs if they are large, or {_SLOWER}"


def check_finite(chain: Chain, loss: Any, x: Any, iteration: int) -> None:
    """Make sure that a loss is a number.

    Args:
        chain: The network.
        loss: Its loss, a number or an array of shape ().
        x: The batch that the loss was computed of.
        iteration: The training step, for the message.

    Raises:
        NonFiniteLossError: It is not; the message names the layer where it goes wrong.
    """
    if not chain.device.xp.isfinite(loss):
        place = find_parameter(chain) or _find_layer(chain, x)
        raise _error(f"the loss is {float(loss)}", iteration, place)


class LossesOnGpu:
    """Notes the first loss that is not finite where losses are, so that the host need not wait."""

    def __init__(self) -> None:
        self._first: Any = None

    def note(self, loss: Any, iteration: int) -> None:
        """Look at a loss.

        Args:
            loss: The loss, a CuPy array of shape ().
            iteration: The training step, from 1.
        """
        with loss.device:
            if self._first is None or self._first.device != loss.device:
                self._first = cuda.cupy.zeros((), "int64")
            kernels.cuda.note_non_finite(loss, iteration, self._first)

    def check(self, chain: Chain) -> None:
        """Make sure that all losses since the last one that was not were finite; waits for the GPU.

        Args:
            chain: The network.

        Raises:
            NonFiniteLossError: One was not.
        """
        first = 0 if self._first is None else int(self._first)
        if first:
            self._first = None
            what, place = "the loss was infinite or not a number", find_parameter(chain)
            if place is None:
                raise NonFiniteLossError(
                    f"{what} at iteration {first}, the parameters are finite: look for labels that are "
                    "no class of the network, and for inputs that are not finite"
                )
            raise _error(what, first, place)


def check_parameters(chain: Chain, iteration: int) -> None:
    """Make sure that a training step has not ruined a network.

    Args:
        chain: The network.
        iteration: The training step, for the message.

    Raises:
        NonFiniteLossError: A parameter holds numbers that are not finite.
    """
    place = find_parameter(chain)
    if place is not None:
        raise _error("the network is ruined", iteration, place)


def find_parameter(chain: Chain) -> str | None:
    """Name the first parameter that is not finite, and what to do about it.

    Args:
        chain: The network.

    Returns:
        A phrase; None where all are finite.
    """
    xp = chain.device.xp
    for name, param in chain.namedparams():
        count = int((~xp.isfinite(param.array)).sum())
        if count:
            layer, _, attribute = name.lstrip("/").rpartition("/")
            return (
                f"{count} of the {param.size} values of {attribute} of layer {layer} are not finite; "
                f"{_SLOWER}"
            )
    return None


def _find_layer(chain: Chain, x: Any) -> str:
    """Name the first place on a batch's way where a number is not finite."""
    if not chain.device.xp.isfinite(as_array(x)).all():
        return "the batch of inputs holds numbers that are not finite; clean the data first"
    with chainer.no_backprop_mode(), _FirstNonFinite(chain) as hook:
        chain(x)
    if hook.layer is not None:
        return f"the outputs of layer {hook.layer} are not finite, its weights are; {_SMALLER}"
    return f"each layer's output is finite, their cross entropy or KL divergence is not; {_SLOWER}"


def _error(what: str, iteration: int, place: str) -> NonFiniteLossError:
    return NonFiniteLossError(f"{what} at iteration {iteration}: {place}")


class _FirstNonFinite(LinkHook):
    """Remembers the first link whose output is not finite."""

    def __init__(self, chain: Chain) -> None:
        self.layer: str | None = None
        self._names = {id(link): name.lstrip("/") for name, link in chain.namedlinks(skipself=True)}

    def forward_postprocess(self, args: Any) -> None:
        name = self._names.get(id(args.link))
        if self.layer is None and name is not None and isinstance(args.out, Variable):
            xp = args.link.device.xp
            if not xp.isfinite(args.out.array).all():
                self.layer = name
