import gzip
from pathlib import Path

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vdprune.datasets.idx import parse_idx, read_idx, read_idx_folder
from vdprune.errors import DatasetError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "t_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "t_test": "t10k-labels-idx1-ubyte",
}
rewrites_one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def to_idx(array: numpy.ndarray) -> bytes:
    """Write an array as the page of MNIST describes the format."""
    code = CODES[array.dtype.str[1:]]
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + sizes + big_endian.tobytes()


def some_arrays() -> st.SearchStrategy[numpy.ndarray]:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    return st.sampled_from(list(CODES)).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@rewrites_one_file
@given(array=some_arrays(), compress=st.booleans())
def test_arrays_of_every_dtype_come_back(
    tmp_path: Path, array: numpy.ndarray, compress: bool
) -> None:
    path = tmp_path / "array.idx"
    path.write_bytes(gzip.compress(to_idx(array)) if compress else to_idx(array))
    read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    numpy.testing.assert_array_equal(read, array)


def test_a_known_file_byte_by_byte() -> None:
    data = bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 fffe 7fff 8000")
    expected = numpy.array([[1, 2, 3], [-2, 32767, -32768]], numpy.int16)
    numpy.testing.assert_array_equal(parse_idx(data, "known"), expected)


@given(array=some_arrays(), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(array: numpy.ndarray, share: float) -> None:
    data = to_idx(array)
    with pytest.raises(DatasetError, match="cut-file"):
        parse_idx(data[: int(share * len(data))], "cut-file")


def test_a_cut_file_is_told_what_is_missing() -> None:
    data = to_idx(numpy.zeros((2, 3), numpy.uint8))
    with pytest.raises(DatasetError, match=r"17 bytes.*announces 18.*\(2, 3\).*cut short"):
        parse_idx(data[:-1], "short")


def test_bytes_after_the_array_are_refused() -> None:
    with pytest.raises(DatasetError, match="damaged"):
        parse_idx(to_idx(numpy.zeros(3, numpy.uint8)) + b"\0", "long")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\0\x08", id="too short"),
        pytest.param(b"\1\0\x08\1\0\0\0\1x", id="first byte"),
        pytest.param(b"\0\1\x08\1\0\0\0\1x", id="second byte"),
        pytest.param(b"\0\0\x0a\1\0\0\0\1x", id="no such type"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="picture"),
    ],
)
def test_a_wrong_magic_number_is_refused(data: bytes) -> None:
    with pytest.raises(DatasetError, match="wrong is not an IDX file"):
        parse_idx(data, "wrong")


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([2**32 - 1] * 4, id="huge"),
        pytest.param([0] + [2**32 - 1] * 4, id="huge-but-empty"),
        pytest.param([0] * 255, id="more-axes-than-numpy-has"),
    ],
)
def test_impossible_shapes_are_refused(sizes: list[int]) -> None:
    header = bytes([0, 0, 8, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)
    with pytest.raises(DatasetError, match="odd"):
        parse_idx(header, "odd")


@given(data=st.binary(max_size=60).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_give_an_array_or_a_dataset_error(data: bytes) -> None:
    try:
        array = parse_idx(data, "noise")
    except DatasetError:
        return
    assert to_idx(array) == data


@pytest.mark.parametrize("damage", ["cut", "checksum", "garbage"])
def test_a_damaged_gzip_is_refused(tmp_path: Path, damage: str) -> None:
    data = bytearray(gzip.compress(to_idx(numpy.arange(1000, dtype=numpy.int32))))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "checksum":
        data[-8] ^= 1
    else:
        data[20:40] = bytes(range(200, 220))
    path = tmp_path / "array.gz"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"array\.gz can't be read"):
        read_idx(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be read"):
        read_idx(tmp_path / "nowhere")


def make_parts() -> dict[str, numpy.ndarray]:
    random = numpy.random.default_rng(1)
    return {
        "x_train": random.integers(0, 256, (7, 4, 4)).astype(numpy.uint8),
        "t_train": numpy.arange(7, dtype=numpy.uint8),
        "x_test": random.integers(0, 256, (3, 4, 4)).astype(numpy.uint8),
        "t_test": numpy.arange(3, dtype=numpy.uint8),
    }


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("separator", ["-idx", ".idx"])
def test_a_folder_laid_out_like_mnist(tmp_path: Path, compress: bool, separator: str) -> None:
    parts = make_parts()
    for part, name in NAMES.items():
        data = to_idx(parts[part])
        path = tmp_path / (name.replace("-idx", separator) + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(data) if compress else data)
    read = read_idx_folder(tmp_path)
    assert read.keys() == parts.keys()
    for part, array in parts.items():
        numpy.testing.assert_array_equal(read[part], array)


@pytest.mark.parametrize("missing", NAMES.values())
def test_a_folder_without_one_of_the_files_names_it(tmp_path: Path, missing: str) -> None:
    parts = make_parts()
    for part, name in NAMES.items():
        if name != missing:
            (tmp_path / name).write_bytes(to_idx(parts[part]))
    with pytest.raises(DatasetError, match=rf"has no {missing} or {missing}\.gz"):
        read_idx_folder(tmp_path)
