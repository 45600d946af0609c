"""A data set for classification, checked when it is made."""

import hashlib
from dataclasses import dataclass, replace

import numpy

from vdprune.errors import ArgumentError, DatasetError

_VALIDATION_SEED = 20170806  # fixed, so that every run and every `eval` hold out the same images


@dataclass(frozen=True)
class Split:
    """Examples with their labels.

    Args:
        description: What they are, for people, as "the 10,000 test images of mnist".
        x: Examples, shape (n, *input_shape), uint8 or float32.
        t: Labels, shape (n,), int32, counted from 0.
    """

    description: str
    x: numpy.ndarray
    t: numpy.ndarray

    def fingerprint(self) -> str:
        """Return the SHA-256 of the examples and labels, in hexadecimal."""
        digest = hashlib.sha256(repr((self.x.shape, self.x.dtype.str)).encode())
        digest.update(numpy.ascontiguousarray(self.x).data)
        digest.update(numpy.ascontiguousarray(self.t).data)
        return digest.hexdigest()

    def guessing_error(self) -> float:
        """Return how many are wrong, in percent, if all are given the commonest label."""
        return 100 * (1 - float(numpy.bincount(self.t).max()) / len(self.t))


@dataclass(frozen=True)
class Dataset:
    """Training and test examples of one classification task.

    Args:
        name: What the user calls it: a known name or a path.
        train: The training examples.
        test: The test examples.
        validation: Held-out training examples, or None.

    Raises:
        DatasetError: Examples and labels that do not fit together, numbers that are not finite or on
            another scale in one split, or a name that files can't hold.
    """

    name: str
    train: Split
    test: Split
    validation: Split | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        for split in (self.train, self.test):
            _check_split(split)
        if self.train.x.shape[1:] != self.test.x.shape[1:]:
            raise DatasetError(
                f"{self.name}: training examples have shape {self.train.x.shape[1:]}, test "
                f"examples {self.test.x.shape[1:]}: the two must be the same"
            )
        _check_scales(self.name, self.train.x, self.test.x)
        if self.train.t.min() == 1:
            raise DatasetError(
                f"{self.name}: training labels go from 1 to {self.train.t.max()}: they must count from "
                "0, so take 1 from all labels, as y - 1 does"
            )
        if self.classes > max(1000, len(self.train.t)):  # a stray number, not a class
            raise DatasetError(
                f"{self.name}: the largest training label is {self.train.t.max()}, and there are "
                f"only {len(self.train.t)} training examples: labels count the classes from 0"
            )
        if self.test.t.max() >= self.classes:
            raise DatasetError(
                f"{self.name}: a test label is {self.test.t.max()}, the training labels go from "
                f"0 to {self.classes - 1}: every class must be among the training labels"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.x.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes: the largest training label and one."""
        return int(self.train.t.max()) + 1

    @property
    def input_scale(self) -> float:
        """What inputs are multiplied by: 1/256 for bytes, as the authors do, else 1."""
        return 1 / 256 if self.train.x.dtype == numpy.uint8 else 1.0

    def hold_out(self, count: int) -> "Dataset":
        """Move some training examples, always the same ones, into a validation split.

        Args:
            count: How many.

        Returns:
            A data set with ``count`` fewer training examples; this one if ``count`` is 0.

        Raises:
            ArgumentError: There are not that many training examples, or a class would have none left.
        """
        if count == 0:
            return self
        total = len(self.train.x)
        if not 0 < count < total:
            raise ArgumentError(
                f"{count} validation examples can't be held out of the {total} training examples "
                f"of {self.name}: at least one of each must be left"
            )
        held_out, kept = self._divide(count)
        lost = numpy.setdiff1d(self.train.t, self.train.t[kept])
        if lost.size:
            raise ArgumentError(
                f"{count} validation examples held out of the {total} training examples of {self.name} "
                f"leave none of class {lost[0]}: some of every class must be left, so hold out fewer"
            )
        return replace(
            self,
            train=Split(
                f"the other {total - count:,} training examples of {self.name}",
                self.train.x[kept],
                self.train.t[kept],
            ),
            validation=Split(
                f"{count:,} validation examples held out of the training examples of {self.name}",
                self.train.x[held_out],
                self.train.t[held_out],
            ),
        )

    def sample(self, count: int) -> Split:
        """Choose some training examples, always the same ones: those that `hold_out` chooses.

        Args:
            count: How many; if there are fewer, all of them are taken.

        Returns:
            They, in their own order; they are training examples still.
        """
        chosen, _ = self._divide(count)
        return Split(
            f"{len(chosen):,} training examples of {self.name}",
            self.train.x[chosen],
            self.train.t[chosen],
        )

    def _divide(self, count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Divide the training examples by chance: places of ``count`` of them, and of the others."""
        order = numpy.random.default_rng(_VALIDATION_SEED).permutation(len(self.train.x))
        return numpy.sort(order[:count]), numpy.sort(order[count:])


def make_dataset(
    name: str,
    train: tuple[numpy.ndarray, numpy.ndarray],
    test: tuple[numpy.ndarray, numpy.ndarray],
    source: str = "",
) -> Dataset:
    """Make a data set from arrays as they come.

    Args:
        name: What the user calls it.
        train: Training examples, shape (n, ...), any numeric dtype, images as (n, height, width)
            or (n, channels, height, width); and their labels, shape (n,) or (n, 1), integers from
            0.
        test: Test examples and their labels.
        source: Where the test examples lie, for people.

    Returns:
        The data set, examples as uint8 or float32 and labels as int32.

    Raises:
        DatasetError: The arrays are not a classification task.
    """
    for x, _ in (train, test):
        if x.ndim == 0:
            raise DatasetError(f"{name}: examples are a single {x.dtype}: expected numbers")
    where = f" ({source})" if source else ""
    return Dataset(
        name,
        Split(
            f"the {len(train[0]):,} training examples of {name}",
            _as_examples(name, train[0]),
            _as_labels(name, train[1]),
        ),
        Split(
            f"the {len(test[0]):,} test examples of {name}{where}",
            _as_examples(name, test[0]),
            _as_labels(name, test[1]),
        ),
    )


def _as_examples(name: str, x: numpy.ndarray) -> numpy.ndarray:
    if x.dtype.kind not in "buif" or x.ndim < 2:
        raise DatasetError(
            f"{name}: examples are an array of {x.dtype} of shape {x.shape}: expected numbers, one "
            "example per entry of the first axis"
        )
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        raise DatasetError(
            f"{name}: examples have shape {x.shape}, which looks like channels last: expected "
            "(n, channels, height, width), as x.transpose(0, 3, 1, 2) gives"
        )
    if x.ndim == 3:
        x = x[:, None]
    if x.dtype == numpy.uint8:
        return x
    with numpy.errstate(over="ignore", invalid="ignore"):
        return x.astype(numpy.float32, copy=False)


def _as_labels(name: str, t: numpy.ndarray) -> numpy.ndarray:
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim != 1 or t.dtype.kind not in "ui":
        raise DatasetError(
            f"{name}: labels are an array of {t.dtype} of shape {t.shape}: expected integers of "
            f"shape (n,){_hint_for(t)}"
        )
    if t.size and (t.min() < 0 or t.max() > 2**31 - 1):
        raise DatasetError(f"{name}: labels go from {t.min()} to {t.max()}: they must count from 0")
    return t.astype(numpy.int32, copy=False)


def _hint_for(t: numpy.ndarray) -> str:
    """Say how labels of other kinds that are often met become numbers of classes."""
    if t.ndim == 2:
        return ", as y.argmax(axis=1) makes of one column for each class"
    return ", as y.astype(int) gives" if t.ndim == 1 and t.dtype.kind == "f" else ""


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(
            f"the data set's name, {name!a}, is not UTF-8, in which checkpoints keep it: give the "
            "file, or the folder that it lies in, another name"
        ) from None


def _check_split(split: Split) -> None:
    if len(split.x) != len(split.t):
        raise DatasetError(
            f"{split.description} have {len(split.t):,} labels: each example needs one"
        )
    if split.x.size == 0:
        raise DatasetError(
            f"{split.description} hold no data: shape {split.x.shape}; each split needs examples"
        )
    if split.x.dtype.kind == "f":
        bad = ~numpy.isfinite(split.x).reshape(len(split.x), -1).all(axis=1)
        if bad.any():
            raise DatasetError(
                f"{split.description}: {bad.sum()} with NaN or infinity, the first is number "
                f"{bad.argmax()}, counted from 0; clean the data first"
            )


def _check_scales(name: str, train: numpy.ndarray, test: numpy.ndarray) -> None:
    """Refuse bytes beside numbers that are bytes divided by 255, as their scale is that of training.

    Other numbers are taken for bytes where one of them is above 100 and none is above 255.
    """
    small, large = sorted((train, test), key=lambda x: float(x.max()))
    most = 1 if large.dtype.kind == "u" else 100
    are_like_bytes = small.dtype.kind == "f" and small.min() >= 0 and large.min() >= 0
    if are_like_bytes and small.max() <= 1 and most < large.max() <= 255:
        found = [f"{x.dtype} from {x.min():g} to {x.max():g}" for x in (train, test)]
        raise DatasetError(
            f"{name}: training examples are {found[0]}, test examples {found[1]}: the two must be on "
            "the same scale, so divide both by 255, or neither"
        )
