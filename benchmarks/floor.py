"""The floor: the matrix products of a training step and nothing else, in NumPy.

Those of convolutions are of unfolded images, more than 3x3 filters need in Winograd's basis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
from threadpoolctl import threadpool_limits

from benchmarks.networks import BATCH, Layer, Network

SETTINGS = (
    "numpy.dot into arrays that are there: for each layer mean and variance forward, the gradients of "
    "both weights, and those of the inputs through both but in the first layer; convolutions unfolded"
)
# Of unfolded images that are multiplied at a time: they fit into cache.
_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class Product:
    """A matrix product of (rows, inner) and (inner, columns), in float32.

    Args:
        rows: Rows of the left factor.
        inner: Its columns, and rows of the right one.
        columns: Columns of the right factor.
        transposed: Which factor lies transposed in memory: left, right or neither.
        times: How often it occurs in a step.
    """

    rows: int
    inner: int
    columns: int
    transposed: str
    times: int


def list_products(network: Network) -> list[Product]:
    """List what one training step multiplies.

    Args:
        network: What is trained.

    Returns:
        The products, each kind once with its number.
    """
    products = []
    width = network.input_shape[1]
    for number, layer in enumerate(network.layers):
        has_input_gradient = number > 0
        if layer.kernel:
            width += 2 * layer.pad - layer.kernel + 1
            products += _of_convolution(layer, width, has_input_gradient)
            width //= 2 if layer.pool else 1
        else:
            products += _of_linear(layer, has_input_gradient)
    return products


def train(network: Network, steps: int, threads: int, on_step: Callable[[int], object]) -> None:
    """Compute the products of some steps.

    Args:
        network: Whose products.
        steps: How many steps.
        threads: Threads to use.
        on_step: Called after each step with the number of steps done.
    """
    random = numpy.random.default_rng(0)
    work = [(product.times, _make_arrays(product, random)) for product in list_products(network)]
    with threadpool_limits(threads, "blas"):
        for iteration in range(1, steps + 1):
            for times, (left, right, out) in work:
                for _ in range(times):
                    numpy.dot(left, right, out=out)
            on_step(iteration)


def _of_linear(layer: Layer, has_input_gradient: bool) -> list[Product]:
    products = [
        Product(BATCH, layer.inputs, layer.outputs, "right", 2),
        Product(layer.outputs, BATCH, layer.inputs, "left", 2),
    ]
    if has_input_gradient:
        products.append(Product(BATCH, layer.outputs, layer.inputs, "neither", 2))
    return products


def _of_convolution(layer: Layer, width: int, has_input_gradient: bool) -> list[Product]:
    inner, pixels = layer.inputs * layer.kernel**2, width**2
    images = min(BATCH, max(1, _BLOCK_BYTES // (4 * inner * pixels)))
    blocks, rest = divmod(BATCH, images)
    products = []
    for columns, times in ((images * pixels, 2 * blocks), (rest * pixels, 2)):
        if not columns:
            continue
        products.append(Product(layer.outputs, inner, columns, "neither", times))
        products.append(Product(layer.outputs, columns, inner, "right", times))
        if has_input_gradient:
            products.append(Product(inner, layer.outputs, columns, "left", times))
    return products


def _make_arrays(product: Product, random: numpy.random.Generator) -> tuple[numpy.ndarray, ...]:
    def factor(rows: int, columns: int, is_transposed: bool) -> numpy.ndarray:
        shape = (columns, rows) if is_transposed else (rows, columns)
        array = random.standard_normal(shape, dtype=numpy.float32)
        return array.T if is_transposed else array

    return (
        factor(product.rows, product.inner, product.transposed == "left"),
        factor(product.inner, product.columns, product.transposed == "right"),
        numpy.empty((product.rows, product.columns), numpy.float32),
    )
