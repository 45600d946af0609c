from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import make_tiny_arrays
from vdprune.datasets import Dataset, Split, make_dataset
from vdprune.errors import ArgumentError, DatasetError


def make_tiny(**changes: Any) -> Dataset:
    arrays = {**make_tiny_arrays(), **changes}
    return make_dataset(
        "tiny", (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    )


def test_properties() -> None:
    data = make_tiny()
    assert data.input_shape == (1, 8, 8)
    assert data.classes == 3
    assert len(data.train.x) == len(data.train.t) == 300
    assert len(data.test.x) == len(data.test.t) == 90
    assert data.train.description == "the 300 training examples of tiny"
    assert data.test.description == "the 90 test examples of tiny"


def test_examples_and_labels_are_those_given() -> None:
    arrays = make_tiny_arrays()
    data = make_tiny()
    numpy.testing.assert_array_equal(data.train.x, arrays["x_train"])
    numpy.testing.assert_array_equal(data.train.t, arrays["y_train"])
    numpy.testing.assert_array_equal(data.test.x, arrays["x_test"])
    numpy.testing.assert_array_equal(data.test.t, arrays["y_test"])


@pytest.mark.parametrize("dtype", ["bool", "i1", "i2", "u2", "i4", "i8", "f2", "f4", "f8", ">f4"])
def test_numbers_other_than_bytes_become_float32(dtype: str) -> None:
    arrays = make_tiny_arrays()
    x_train, x_test = ((arrays[name] // 2).astype(dtype) for name in ("x_train", "x_test"))
    data = make_tiny(x_train=x_train, x_test=x_test)
    assert data.train.x.dtype == data.test.x.dtype == numpy.float32
    assert data.input_scale == 1
    numpy.testing.assert_array_equal(data.train.x, x_train.astype(numpy.float32))


def test_bytes_stay_bytes_and_are_scaled_as_the_authors_do() -> None:
    data = make_tiny()
    assert data.train.x.dtype == numpy.uint8
    assert data.input_scale == 1 / 256


@pytest.mark.parametrize("part", ["train", "test"])
def test_bytes_as_floats_beside_such_divided_by_255_are_refused(part: str) -> None:
    floats = {name: make_tiny_arrays()[name].astype("f4") for name in ("x_train", "x_test")}
    make_tiny(**floats)
    floats[f"x_{part}"] /= 255
    with pytest.raises(DatasetError, match="the two must be on the same scale"):
        make_tiny(**floats)
    floats[f"x_{part}"] -= 0.5  # numbers of another kind
    make_tiny(**floats)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("train", "training examples are float32 from 0 to 1, test examples uint8 from 0 to "),
        ("test", "training examples are uint8 from 0 to 199, test examples float32 from 0 to "),
    ],
)
def test_one_split_alone_divided_by_255_is_refused(part: str, message: str) -> None:
    x = make_tiny_arrays()[f"x_{part}"]
    with pytest.raises(DatasetError, match=f"{message}.*: the two must be on the same scale"):
        make_tiny(**{f"x_{part}": x / x.max()})


def test_one_split_alone_of_bytes_is_taken_where_the_scale_is_the_same() -> None:
    x_test = make_tiny_arrays()["x_test"]
    assert make_tiny(x_test=x_test.astype(int)).test.x.max() == x_test.max()
    black_and_white = {name: make_tiny_arrays()[name] > 99 for name in ("x_train", "x_test")}
    black_and_white["x_test"] = black_and_white["x_test"].astype("u1")
    assert make_tiny(**black_and_white).test.x.max() == 1


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u4", "i8", "u8"])
def test_labels_of_any_integer_dtype_become_int32(dtype: str) -> None:
    y_train = make_tiny_arrays()["y_train"]
    data = make_tiny(y_train=y_train.astype(dtype))
    assert data.train.t.dtype == numpy.int32
    numpy.testing.assert_array_equal(data.train.t, y_train)


def test_labels_in_a_column_are_taken() -> None:
    y_train = make_tiny_arrays()["y_train"]
    numpy.testing.assert_array_equal(make_tiny(y_train=y_train[:, None]).train.t, y_train)


def test_images_without_a_channel_axis_gain_one() -> None:
    arrays = make_tiny_arrays()
    data = make_tiny(x_train=arrays["x_train"][:, 0], x_test=arrays["x_test"][:, 0])
    assert data.input_shape == (1, 8, 8)
    numpy.testing.assert_array_equal(data.train.x, arrays["x_train"])


def test_feature_vectors_are_taken() -> None:
    arrays = make_tiny_arrays()
    data = make_tiny(
        x_train=arrays["x_train"].reshape(300, 64), x_test=arrays["x_test"].reshape(90, 64)
    )
    assert data.input_shape == (64,)


def test_images_of_three_channels_are_not_taken_for_channels_last() -> None:
    arrays = make_tiny_arrays()
    x_train, x_test = (arrays[name][:, :, :, :3].repeat(3, 1) for name in ("x_train", "x_test"))
    assert make_tiny(x_train=x_train, x_test=x_test).input_shape == (3, 8, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_refused_with_the_remedy(channels: int) -> None:
    x_train = make_tiny_arrays()["x_train"].transpose(0, 2, 3, 1).repeat(channels, 3)
    with pytest.raises(DatasetError, match=r"channels last.*transpose\(0, 3, 1, 2\)"):
        make_tiny(x_train=x_train)


def test_train_and_test_of_different_shapes_are_refused() -> None:
    x_test = make_tiny_arrays()["x_test"][:, :, :6]
    with pytest.raises(DatasetError, match=r"\(1, 8, 8\), test examples \(1, 6, 8\)"):
        make_tiny(x_test=x_test)


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_numbers_that_are_not_finite_are_counted(part: str, bad: float) -> None:
    x = make_tiny_arrays()[f"x_{part}"].astype(numpy.float32)
    x[7, 0, 3, 3] = bad
    x[7, 0, 4, 4] = bad
    x[9, 0, 0, 0] = bad
    with pytest.raises(
        DatasetError, match=rf"{part}.* examples of tiny: 2 with NaN or infinity.* number 7"
    ):
        make_tiny(**{f"x_{part}": x})


def test_a_label_that_is_no_class_is_refused() -> None:
    y_train = make_tiny_arrays()["y_train"].astype(numpy.int64)
    y_train[3] = 10**9
    with pytest.raises(DatasetError, match="the largest training label is 1000000000"):
        make_tiny(y_train=y_train)


def test_numbers_too_large_for_float32_are_refused() -> None:
    x_train = make_tiny_arrays()["x_train"].astype(numpy.float64)
    x_train[5, 0, 0, 0] = 1e300
    with pytest.raises(DatasetError, match="number 5"):
        make_tiny(x_train=x_train)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (numpy.full(300, -1), "from -1 to -1"),
        (numpy.arange(300) - 1, "from -1 to 298"),
        (numpy.arange(300) % 3 + 1, "from 1 to 3: they must count from 0, so take 1"),
        (numpy.full(300, 2**31), "they must count from 0"),
        (numpy.full(300, 2**64 - 1, numpy.uint64), "they must count from 0"),
        (numpy.zeros(300), r"expected integers of shape \(n,\), as y.astype\(int\)"),
        (numpy.zeros(300, bool), "expected integers"),
        (numpy.full(300, "cat"), "expected integers"),
        (numpy.eye(3, dtype=int)[numpy.arange(300) % 3], r"expected integers .* as y.argmax"),
        (numpy.zeros(299, int), "300 training examples of tiny .*have 299 labels"),
    ],
)
def test_unusable_labels_are_refused(labels: numpy.ndarray, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        make_tiny(y_train=labels)


def test_a_test_label_beyond_the_training_classes_is_refused() -> None:
    y_test = make_tiny_arrays()["y_test"].copy()
    y_test[0] = 3
    with pytest.raises(DatasetError, match="a test label is 3, the training labels go from 0 to 2"):
        make_tiny(y_test=y_test)


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    arrays = make_tiny_arrays()
    train, test = ((arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test"))
    with pytest.raises(DatasetError, match=r"'bad\\udcff', is not UTF-8, .* give the file, or"):
        make_dataset("bad\udcff", train, test)


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_examples_are_refused(part: str) -> None:
    empty = {f"x_{part}": numpy.zeros((0, 1, 8, 8), "u1"), f"y_{part}": numpy.zeros(0, int)}
    with pytest.raises(DatasetError, match="hold no data"):
        make_tiny(**empty)


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_a_single_number_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="tiny"):
        make_tiny(**{name: numpy.array(5)})


@pytest.mark.parametrize(
    "x_train",
    [
        numpy.zeros(300),
        numpy.zeros((300, 1, 8, 8), complex),
        numpy.full((300, 64), "white"),
        numpy.full((300, 64), None),
    ],
)
def test_examples_that_are_no_numbers_are_refused(x_train: numpy.ndarray) -> None:
    with pytest.raises(DatasetError, match="expected numbers"):
        make_tiny(x_train=x_train)


@given(count=st.integers(1, 299))
def test_held_out_examples_and_the_rest_are_a_partition(count: int) -> None:
    x = numpy.arange(600, dtype=numpy.float32).reshape(300, 2)
    data = make_dataset("numbers", (x, numpy.zeros(300, int)), (x[:2], numpy.zeros(2, int)))
    split = data.hold_out(count)
    assert split.validation is not None
    assert len(split.validation.x) == len(split.validation.t) == count
    assert len(split.train.x) == len(split.train.t) == 300 - count
    both = numpy.concatenate([split.train.x, split.validation.x])
    numpy.testing.assert_array_equal(both[both[:, 0].argsort()], x)


def test_held_out_examples_keep_their_labels() -> None:
    x = numpy.arange(300, dtype=numpy.float32)[:, None]
    data = make_dataset("numbers", (x, numpy.arange(300) % 3), (x[:3], numpy.arange(3)))
    split = data.hold_out(50)
    assert split.validation is not None
    for part in (split.train, split.validation):
        numpy.testing.assert_array_equal(part.t, part.x[:, 0] % 3)


def test_hold_out_is_deterministic_and_shuffled() -> None:
    x = numpy.arange(300, dtype=numpy.float32)[:, None]
    splits = []
    for seed in (0, 1):
        numpy.random.seed(seed)
        data = make_dataset("numbers", (x, numpy.zeros(300, int)), (x[:1], numpy.zeros(1, int)))
        splits.append(data.hold_out(30).validation)
    first, second = splits
    assert first is not None and second is not None
    numpy.testing.assert_array_equal(first.x, second.x)
    held_out = first.x[:, 0]
    assert held_out.min() < 60 and held_out.max() > 240


def test_hold_out_leaves_the_test_examples_and_the_original_alone() -> None:
    data = make_tiny()
    split = data.hold_out(30)
    assert split.test is data.test
    assert len(data.train.x) == 300 and data.validation is None
    assert split.train.description == "the other 270 training examples of tiny"
    assert split.validation is not None
    assert split.validation.description.startswith("30 validation examples held out")


def test_holding_out_nothing_changes_nothing() -> None:
    data = make_tiny()
    assert data.hold_out(0) is data


def test_holding_out_all_of_a_class_is_refused() -> None:
    with pytest.raises(ArgumentError, match="299 validation examples .* leave none of class"):
        make_tiny().hold_out(299)


@pytest.mark.parametrize("count", [-1, 300, 301, 10**9])
def test_holding_out_too_many_is_refused(count: int) -> None:
    with pytest.raises(ArgumentError, match=f"{count} validation examples can't be held out"):
        make_tiny().hold_out(count)


def test_a_sample_is_what_would_be_held_out() -> None:
    data = make_tiny()
    held_out = data.hold_out(30).validation
    assert held_out is not None
    assert data.sample(30).fingerprint() == held_out.fingerprint()
    assert data.sample(30).description == "30 training examples of tiny"
    for count in (300, 1000):
        assert data.sample(count).fingerprint() == data.train.fingerprint()


def test_guessing_is_wrong_for_all_but_the_commonest_label() -> None:
    split = Split("", numpy.zeros((4, 1), "u1"), numpy.array([2, 0, 2, 1], numpy.int32))
    assert split.guessing_error() == 50
