"""The other implementations, in PyTorch, each as fast as a user can have it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.contenders import CHANNELS_LAST, EAGER_RANDOM, MAX_AUTOTUNE
from benchmarks.data import load_images
from benchmarks.networks import BATCH, Network

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Peer:
    """An implementation and how it is run.

    Args:
        library: cplxmodule or pytorch-ard.
        is_compiled: Whether `torch.compile` makes one function of batch to loss.
        tunings: Those of TUNINGS that are used. CHANNELS_LAST is how images and filters lie in
            memory, the others are for `torch.compile`.
    """

    library: str
    is_compiled: bool
    tunings: tuple[str, ...]

    def train(
        self, network: Network, steps: int, threads: int, on_step: Callable[[int], object]
    ) -> None:
        """Take the first steps of a training run.

        Args:
            network: What to train.
            steps: How many steps to take.
            threads: Threads to use.
            on_step: Called after each step with the number of steps done.
        """
        torch.manual_seed(0)
        torch.set_num_threads(threads)
        x, t = (torch.from_numpy(array) for array in load_images(network))
        linear, convolution, penalty = _LIBRARIES[self.library]()
        model = build_network(network, linear, convolution)
        if CHANNELS_LAST in self.tunings:
            x = x.to(memory_format=torch.channels_last)
            model = model.to(memory_format=torch.channels_last)

        def loss_of(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(model(x), t) + penalty(model) / num_train

        num_train = len(x)
        objective = self._compile(loss_of) if self.is_compiled else loss_of
        _loop(objective, model, _batches(x, t.long(), steps), on_step)

    def describe_settings(self) -> str:
        """Say in one line how networks are trained."""
        mode = "torch.compile from batch to loss, one graph" if self.is_compiled else "eager"
        return ", ".join(
            (mode, "Adam(fused=True)", "batches cut from preloaded float32 tensors", *self.tunings)
        )

    def _compile(self, loss_of: Objective) -> Objective:
        options = {
            "max_autotune": MAX_AUTOTUNE in self.tunings,
            "fallback_random": EAGER_RANDOM in self.tunings,
        }
        return torch.compile(loss_of, fullgraph=True, options=options)


def build_network(
    network: Network, linear: type[nn.Module], convolution: type[nn.Module]
) -> nn.Sequential:
    """Build a network.

    Args:
        network: Its description.
        linear: Class of the fully connected layers.
        convolution: Class of the convolutions.

    Returns:
        The network, from images to logits.
    """
    modules: list[nn.Module] = []
    is_flat = False
    for layer in network.layers:
        if layer.kernel:
            modules.append(
                convolution(layer.inputs, layer.outputs, layer.kernel, padding=layer.pad)
            )
        else:
            if not is_flat:
                modules.append(nn.Flatten())
            is_flat = True
            modules.append(linear(layer.inputs, layer.outputs))
        if layer.pool:
            modules.append(nn.MaxPool2d(2))
        if layer.relu:
            modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def describe_blas() -> str:
    """Say which libraries PyTorch multiplies matrices with.

    Returns:
        Their names and versions, and the processor's instructions that are used.
    """
    built = torch.__config__.show()
    found = [
        f"{name} {match[1]}"
        for name, pattern in (
            ("MKL", r"Math Kernel Library Version ([\w.]+)"),
            ("oneDNN", r"MKL-DNN v([\w.]+)"),
        )
        if (match := re.search(pattern, built))
    ]
    return ", ".join(["PyTorch's own", *found, torch.backends.cpu.get_cpu_capability()])


def _loop(
    loss_of: Objective,
    model: nn.Module,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    on_step: Callable[[int], object],
) -> None:
    """Train as PyTorch's users do; the running loss is summed where it is, and never waited for."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    running_loss = torch.zeros(())
    for iteration, (x, t) in enumerate(batches, 1):
        loss = loss_of(x, t)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        running_loss += loss.detach()
        on_step(iteration)


def _batches(
    x: torch.Tensor, t: torch.Tensor, count: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield random batches, each example once in an epoch."""
    per_epoch = len(x) // BATCH
    for step in range(count):
        if step % per_epoch == 0:
            order = torch.randperm(len(x)).split(BATCH)
        rows = order[step % per_epoch]
        yield x[rows], t[rows]


def _cplxmodule() -> tuple[Any, Any, Callable[[nn.Module], torch.Tensor]]:
    from cplxmodule.nn.relevance import Conv2dVD, LinearVD, penalties

    return LinearVD, Conv2dVD, lambda model: sum(penalties(model))


def _pytorch_ard() -> tuple[Any, Any, Callable[[nn.Module], torch.Tensor]]:
    from torch_ard import Conv2dARD, LinearARD, get_ard_reg

    return LinearARD, Conv2dARD, get_ard_reg


_LIBRARIES = {"cplxmodule": _cplxmodule, "pytorch-ard": _pytorch_ard}
