import pytest

from benchmarks.floor import Product, list_products, train
from benchmarks.networks import NETWORKS, Layer, Network


def test_products_of_lenet300() -> None:
    assert list_products(NETWORKS["lenet300"]) == [
        Product(100, 784, 300, "right", 2),
        Product(300, 100, 784, "left", 2),
        Product(100, 300, 100, "right", 2),
        Product(100, 100, 300, "left", 2),
        Product(100, 100, 300, "neither", 2),
        Product(100, 100, 10, "right", 2),
        Product(10, 100, 100, "left", 2),
        Product(100, 10, 100, "neither", 2),
    ]


def test_products_of_a_convolution_are_cut_into_blocks_of_images() -> None:
    # lenet5's second layer: 20 * 5 * 5 * 8 * 8 numbers an image, 4 bytes each; 32 are below 4 MiB
    second = [
        product for product in list_products(NETWORKS["lenet5"]) if 500 in product_sizes(product)
    ]
    assert second[:6] == [
        Product(50, 500, 32 * 64, "neither", 6),
        Product(50, 32 * 64, 500, "right", 6),
        Product(500, 50, 32 * 64, "left", 6),
        Product(50, 500, 4 * 64, "neither", 2),
        Product(50, 4 * 64, 500, "right", 2),
        Product(500, 50, 4 * 64, "left", 2),
    ]


def product_sizes(product: Product) -> tuple[int, int, int]:
    return product.rows, product.inner, product.columns


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # multiplications: batch * weights * pixels, 4 times in the first layer and 6 in the others
        ("lenet300", 100 * (4 * 784 * 300 + 6 * (300 * 100 + 100 * 10))),
        (
            "lenet5",
            100 * (4 * 20 * 25 * 24**2 + 6 * (50 * 500 * 8**2 + 800 * 500 + 500 * 10)),
        ),
        (
            "conv-stack",
            100
            * (
                4 * 64 * 27 * 32**2
                + 6 * (64 * 576 * 32**2 + 128 * 576 * 16**2 + 128 * 1152 * 16**2 + 8192 * 10)
            ),
        ),
    ],
)
def test_nothing_is_forgotten(name: str, expected: int) -> None:
    products = list_products(NETWORKS[name])
    assert sum(p.rows * p.inner * p.columns * p.times for p in products) == expected


def test_products_can_be_computed() -> None:
    network = Network(
        "tiny", (2, 6, 6), (Layer(2, 3, kernel=3, pool=True), Layer(12, 4)), steps=1, warm_up=1
    )
    steps: list[int] = []
    train(network, 2, 1, steps.append)
    assert steps == [1, 2]
