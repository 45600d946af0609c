"""The networks that are timed, described once for everyone who builds them."""

from dataclasses import dataclass

BATCH = 100


@dataclass(frozen=True)
class Layer:
    """A variational layer and what follows it.

    Args:
        inputs: Units that come in, or channels.
        outputs: Units, or filters.
        kernel: Width of the square filters of a convolution; 0 for a fully connected layer.
        pad: Zeros added around the images in pixels.
        relu: Whether ReLU follows, after the pooling, where it does the same on a quarter of the values.
        pool: Whether 2x2 max pooling follows.
    """

    inputs: int
    outputs: int
    kernel: int = 0
    pad: int = 0
    relu: bool = False
    pool: bool = False


@dataclass(frozen=True)
class Network:
    """A network and for how long it is timed.

    Args:
        name: What it is called on the command line.
        input_shape: Shape of one image: channels, height, width (the same as height).
        layers: Its layers in order.
        steps: Training steps that are timed in one process.
        warm_up: Steps before that, which are not.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    steps: int
    warm_up: int

    @property
    def has_convolutions(self) -> bool:
        """Whether not all layers are fully connected."""
        return any(layer.kernel for layer in self.layers)


# On MNIST, steps and warm-up together stay below the 600 of an epoch, at whose end a network is
# evaluated and saved: that is part of the recipe's time, not of a step's.
_LENET300 = Network(
    "lenet300",
    (1, 28, 28),
    (Layer(784, 300, relu=True), Layer(300, 100, relu=True), Layer(100, 10)),
    steps=500,
    warm_up=50,
)
_LENET5 = Network(
    "lenet5",
    (1, 28, 28),
    (
        Layer(1, 20, kernel=5, relu=True, pool=True),
        Layer(20, 50, kernel=5, relu=True, pool=True),
        Layer(800, 500, relu=True),
        Layer(500, 10),
    ),
    steps=60,
    warm_up=10,
)
_CONV_STACK = Network(
    "conv-stack",
    (3, 32, 32),
    (
        Layer(3, 64, kernel=3, pad=1, relu=True),
        Layer(64, 64, kernel=3, pad=1, relu=True, pool=True),
        Layer(64, 128, kernel=3, pad=1, relu=True),
        Layer(128, 128, kernel=3, pad=1, relu=True, pool=True),
        Layer(8192, 10),
    ),
    steps=5,
    warm_up=2,
)

NETWORKS = {network.name: network for network in (_LENET300, _LENET5, _CONV_STACK)}
