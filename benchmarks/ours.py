"""vdprune itself, as its users train with it."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import vdprune  # before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer
import chainer.functions as F
import numpy
from chainer.backend import Device
from chainer.training.updaters import StandardUpdater

from benchmarks.data import load_images
from benchmarks.networks import BATCH, Layer, Network
from vdprune.archs import ARCHS
from vdprune.datasets import load_dataset
from vdprune.devices import get_device
from vdprune.kernels.loading import load_kernels
from vdprune.recipes.files import load_recipe
from vdprune.threads import limited_threads
from vdprune.training.callbacks import Callbacks
from vdprune.training.extensions import OnEachUpdate, TrainingInterruptedError
from vdprune.training.start import start_checkpoint
from vdprune.training.trainer import TrainingRun


class ConvolutionStack(vdprune.VariationalDropoutChain):
    """A user's own network.

    Args:
        layers: Its layers.
        num_train: Number of training examples.
    """

    def __init__(self, layers: tuple[Layer, ...], num_train: int) -> None:
        super().__init__(num_train=num_train)
        with self.init_scope():
            self.body = chainer.Sequential(*(part for layer in layers for part in _parts(layer)))

    def forward(self, x: numpy.ndarray) -> chainer.Variable:
        """Classify a batch of images."""
        return self.body(x)


def train(
    network: Network,
    steps: int,
    threads: int,
    on_step: Callable[[int], object],
    gpu: int | None = None,
) -> None:
    """Take the first steps of a training run.

    Args:
        network: What to train.
        steps: How many steps to take.
        threads: Threads to use.
        on_step: Called after each step with the number of steps done.
        gpu: Number of the GPU; None for the CPU.
    """
    run = _train_arch if network.name in ARCHS else _train_own
    with limited_threads(threads), tempfile.TemporaryDirectory() as folder:
        load_kernels(lambda: None)
        run(network, steps, Path(folder), on_step, get_device(gpu))


def describe_settings(network: Network) -> str:
    """Say how a network is trained.

    Args:
        network: The network.

    Returns:
        One line.
    """
    if network.name in ARCHS:
        return "the run of `vdprune train`, recipe paper, from bytes, which each step scales"
    return (
        "StandardUpdater, vdprune.RowIterator, vdprune.ArrayBatches, vdprune.Adam and "
        "vdprune.Compaction in Chainer's Trainer, as in the README"
    )


def _train_arch(
    network: Network, steps: int, folder: Path, on_step: Callable[[int], object], device: Device
) -> None:
    data = load_dataset("mnist")
    checkpoint = start_checkpoint(load_recipe("paper", network.name), network.name, data)
    callbacks = Callbacks(on_step=on_step, should_stop=lambda: run.iteration >= steps)
    run = TrainingRun(checkpoint, data, folder / "checkpoint.h5", device, callbacks)
    with suppress(TrainingInterruptedError):
        run.run()


def _train_own(
    network: Network, steps: int, folder: Path, on_step: Callable[[int], object], device: Device
) -> None:
    x, t = load_images(network)
    numpy.random.seed(0)
    model = ConvolutionStack(network.layers, len(x))
    model.to_device(device)
    updater = StandardUpdater(
        vdprune.RowIterator(len(x), BATCH),
        vdprune.Adam().setup(model),
        converter=vdprune.ArrayBatches(x, t),
        device=device,
        loss_func=model.calc_loss,
    )
    trainer = chainer.training.Trainer(updater, (steps, "iteration"), out=str(folder))
    trainer.extend(vdprune.Compaction(model))
    trainer.extend(OnEachUpdate(on_step))
    trainer.run()


def _parts(layer: Layer) -> list[Callable]:
    sizes = (layer.inputs, layer.outputs)
    parts: list[Callable] = [
        vdprune.VariationalDropoutConvolution2D(*sizes, layer.kernel, pad=layer.pad)
        if layer.kernel
        else vdprune.VariationalDropoutLinear(*sizes)
    ]
    if layer.pool:
        parts.append(partial(F.max_pooling_2d, ksize=2))
    if layer.relu:
        parts.append(F.relu)
    return parts
