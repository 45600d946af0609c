"""The images that everyone is trained on."""

import numpy

from benchmarks.networks import Network

_RANDOM_IMAGES = 4000


def load_images(network: Network) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Load what a network is trained on.

    Args:
        network: The network.

    Returns:
        Images, shape (n, *input_shape), float32: MNIST's training images scaled by 1/256 if the network
        takes their shape, else standard normal numbers, always the same; and labels, shape (n,), int32.
    """
    from vdprune.datasets import load_dataset

    if network.input_shape != (1, 28, 28):
        random = numpy.random.default_rng(0)
        shape = (_RANDOM_IMAGES, *network.input_shape)
        x = random.standard_normal(shape, dtype=numpy.float32)
        return x, random.integers(0, 10, _RANDOM_IMAGES, dtype=numpy.int32)
    train = load_dataset("mnist").train
    return numpy.multiply(train.x, 1 / 256, dtype=numpy.float32), train.t
