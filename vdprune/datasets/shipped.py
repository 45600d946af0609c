"""MNIST, which ships inside the package."""

import gzip
import hashlib
from importlib import resources

from vdprune.datasets.dataset import Dataset, make_dataset
from vdprune.datasets.idx import parse_idx
from vdprune.errors import DatasetError

_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


def load_mnist() -> Dataset:
    """Load the MNIST database of handwritten digits.

    Returns:
        The data set, images of shape (1, 28, 28), uint8.

    Raises:
        DatasetError: A file is missing or is not the one that was shipped.
    """
    folder = resources.files("vdprune.datasets") / "mnist"
    arrays = []
    for name, sha256 in _SHA256.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise DatasetError(f"{name} is missing: install vdprune again ({error})") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DatasetError(f"{name} is not the file that was shipped: install vdprune again")
        arrays.append(parse_idx(gzip.decompress(data), name))
    x_train, t_train, x_test, t_test = arrays
    return make_dataset("mnist", (x_train, t_train), (x_test, t_test), "t10k-images-idx3-ubyte.gz")
