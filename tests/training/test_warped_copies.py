from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.training.test_teacher_logits import make_teacher
from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError, FileFormatError, FileWriteError
from vdprune.hdf5 import new_h5
from vdprune.storage import COPIES
from vdprune.training import warped_copies
from vdprune.training.teacher_logits import compute_logits
from vdprune.training.warped_copies import (
    WarpedCopies,
    load_or_make_copies,
    make_copies,
)

X = numpy.random.RandomState(0).randint(0, 256, (50, 1, 8, 8)).astype("u1")
WARP = Augmentation(probability=0.6, rotation=10, shift=1.0, scale=0.1)


@pytest.fixture(scope="module")
def teacher() -> VariationalDropoutChain:
    return make_teacher()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "copies.h5"


def no_making(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warped_copies, "make_copies", None)


def assert_same(found: WarpedCopies, expected: WarpedCopies) -> None:
    for name, value in vars(expected).items():
        other = getattr(found, name)
        assert (other is None) == (value is None)
        if isinstance(value, numpy.ndarray):
            assert other.dtype == value.dtype
            numpy.testing.assert_array_equal(other, value)


def test_copies_are_warped_and_asked_about(teacher: VariationalDropoutChain) -> None:
    done: list[tuple[int, int]] = []
    made = make_copies(X, WARP, 3, 7, teacher, lambda *numbers: done.append(numbers))
    assert (made.images.shape, made.images.dtype) == ((3, *X.shape), X.dtype)
    assert (made.images != X).any(axis=(2, 3, 4)).all()
    assert (made.images[0] != made.images[1]).any(axis=(1, 2, 3)).all()
    random = numpy.random.RandomState(7)
    for images, logits in zip(made.images, made.logits, strict=True):
        expected = replace(WARP, probability=1).apply(X, random)
        numpy.testing.assert_array_equal(images, expected)
        numpy.testing.assert_array_equal(logits, compute_logits(teacher, expected))
    numpy.testing.assert_array_equal(made.plain_logits, compute_logits(teacher, X))
    assert [count for count, _ in done] == [0, 50, 100, 150, 200, 250, 300, 350]
    assert {total for _, total in done} == {350}


def test_fewer_copies_are_the_first_ones() -> None:
    few, many = (make_copies(X, WARP, copies, 7) for copies in (1, 3))
    numpy.testing.assert_array_equal(few.images, many.images[:1])
    assert (few.images != make_copies(X, WARP, 1, 8).images).any()


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("has_teacher", [True, False])
def test_they_are_made_once(
    path: Path,
    teacher: VariationalDropoutChain,
    has_teacher: bool,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments: tuple[Any, ...] = (X.astype(dtype), "abc", WARP, 2, 7)
    arguments += (teacher if has_teacher else None,)
    made = load_or_make_copies(path, *arguments)
    no_making(monkeypatch)
    again = load_or_make_copies(str(path), *arguments)
    assert_same(again, made)
    assert again.seconds == made.seconds > 0
    assert (made.logits is None) == (not has_teacher)
    with h5py.File(path) as file:
        assert file.attrs["format"] == COPIES
        assert file["images"].dtype == dtype


def test_the_probability_does_not_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_or_make_copies(path, X, "abc", WARP, 2, 7)
    no_making(monkeypatch)
    other = replace(WARP, probability=0.1)
    assert_same(load_or_make_copies(path, X, "abc", other, 2, 7), made)


@pytest.mark.parametrize(
    "changed",
    [
        {"fingerprint": "abd"},
        {"augmentation": replace(WARP, rotation=11)},
        {"augmentation": replace(WARP, flip=True)},
        {"copies": 1},
        {"seed": 8},
        {"teacher": None},
    ],
)
def test_others_are_made_anew(
    path: Path, teacher: VariationalDropoutChain, changed: dict[str, Any]
) -> None:
    options = {"fingerprint": "abc", "augmentation": WARP, "copies": 2, "seed": 7}
    load_or_make_copies(path, X, **options, teacher=teacher)
    before = path.read_bytes()
    options = {**options, "teacher": teacher, **changed}
    found = load_or_make_copies(path, X, **options)
    del options["fingerprint"]
    assert_same(found, make_copies(X, **options))
    assert path.read_bytes() != before


def test_another_teacher(path: Path, teacher: VariationalDropoutChain) -> None:
    load_or_make_copies(path, X, "abc", WARP, 1, 7, teacher)
    other = make_teacher()
    next(iter(other.params())).array[...] += 1
    found = load_or_make_copies(path, X, "abc", WARP, 1, 7, other)
    numpy.testing.assert_array_equal(found.plain_logits, compute_logits(other, X))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def of_a_newer_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99


def without_logits(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["logits"]


def with_other_logits(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["plain_logits"]
        file["plain_logits"] = numpy.zeros((50, 4), "f4")


def with_other_images(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["images"]
        file["images"] = numpy.zeros((2, 50, 1, 8, 9), "u1")


def without_a_key(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["key"]


def a_text(path: Path) -> None:
    path.write_text("my notes")


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        flip_a_bit,
        of_a_newer_version,
        without_logits,
        with_other_logits,
        with_other_images,
        without_a_key,
        a_text,
    ],
)
def test_a_file_that_is_not_whole_or_not_ours_stays(
    path: Path,
    teacher: VariationalDropoutChain,
    damage: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_or_make_copies(path, X, "abc", WARP, 2, 7, teacher)
    damage(path)
    before = path.read_bytes()
    no_making(monkeypatch)
    with pytest.raises(FileFormatError, match="remove it to have them made anew"):
        load_or_make_copies(path, X, "abc", WARP, 2, 7, teacher)
    assert path.read_bytes() == before


def test_a_checkpoint_is_not_replaced(path: Path) -> None:
    with new_h5(path, "vdprune-checkpoint", 1):
        pass
    with pytest.raises(FileFormatError, match="it is a vdprune-checkpoint file"):
        load_or_make_copies(path, X, "abc", WARP, 2, 7)


def test_copies_that_another_program_changed_are_not_replaced(path: Path) -> None:
    load_or_make_copies(path, X, "abc", WARP, 2, 7)
    with h5py.File(path, "r+") as file:
        file["notes"] = numpy.zeros(1000)
    with pytest.raises(FileWriteError, match="was not written by vdprune"):
        load_or_make_copies(path, X, "abc", WARP, 2, 8)


def test_where_nothing_can_be_written_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_making(monkeypatch)
    for path in (tmp_path / "nowhere" / "copies.h5", tmp_path):
        with pytest.raises((FileWriteError, FileFormatError)):
            load_or_make_copies(path, X, "abc", WARP, 2, 7)


@pytest.mark.parametrize(
    ("copies", "seed", "message"),
    [(0, 7, "copies is 0: it must be 1"), (2, -1, "seed is -1"), (2, 2**32, "seed is 4294967296")],
)
def test_numbers_without_a_meaning(path: Path, copies: int, seed: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load_or_make_copies(path, X, "abc", WARP, copies, seed)


def test_no_images(path: Path) -> None:
    with pytest.raises(ArgumentError, match="augmentation is for images"):
        load_or_make_copies(path, X.reshape(50, 64), "abc", WARP, 2, 7)
    assert not path.exists()
