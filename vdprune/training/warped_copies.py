"""Warped copies of the training images, and their teacher's logits: made once, kept in a file.

Layout of the file: root attributes ``format``, ``format_version``, ``vdprune_version``, ``key`` (what
the copies were made of) and ``seconds`` (how long it took); ``images``, shape (copies, n, channels,
height, width), the data's dtype; where there was a teacher ``logits``, (copies, n, classes), and
``plain_logits``, (n, classes).

What it costs: while training, the images are held in memory as they come in the data, as bytes 376 MB
for 8 copies of MNIST; in the file they are compressed, to about a third of that. Reading unpacks
them once, which takes seconds; a batch taken from the file itself would unpack a thousand images for
each of its own. Writing and reading hold the file's bytes up to three times over, for a moment.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy

from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.hdf5 import named_datasets, new_h5, open_h5, read_attribute
from vdprune.storage import COPIES, check_replaceable, check_writable
from vdprune.training.teacher_logits import compute_logits, teacher_sha256

FORMAT_VERSION = 1

OnProgress = Callable[[int, int], Any]

_CHUNK = 1000  # images that are compressed together


@dataclass(frozen=True)
class WarpedCopies:
    """Warped copies of images, with a teacher's logits for both.

    Args:
        images: Shape (copies, n, channels, height, width), dtype of the images.
        logits: The teacher's for the copies, shape (copies, n, classes); None without a teacher.
        plain_logits: Its logits for the images themselves, shape (n, classes), or None.
        seconds: The time that it took to make all this.
    """

    images: numpy.ndarray
    logits: numpy.ndarray | None = None
    plain_logits: numpy.ndarray | None = None
    seconds: float = 0.0


def load_or_make_copies(
    path: str | Path,
    images: numpy.ndarray,
    fingerprint: str,
    augmentation: Augmentation,
    copies: int,
    seed: int,
    teacher: VariationalDropoutChain | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> WarpedCopies:
    """Read copies from the file that they are kept in; make them, and the file, if it holds others.

    Args:
        path: The file; it need not be there.
        images: The training images, shape (n, channels, height, width).
        fingerprint: Their `Split.fingerprint`.
        augmentation: How they are warped; all of them are, whatever its probability.
        copies: How many copies.
        seed: Of the warps.
        teacher: The network whose logits are wanted, or None; its device is used.
        on_progress: Called while they are made, with what is done of how much; for the first time
            before anything is.

    Returns:
        The copies.

    Raises:
        FileFormatError: The file is damaged, of another format or of a newer version.
        FileWriteError: It can't be written, or was not written by vdprune.
        ArgumentError: They are no images, the teacher can't take them, or a number has no meaning.
    """
    path = Path(path)
    key = copies_key(fingerprint, augmentation, copies, seed, teacher)
    if path.exists():
        shape = (copies, *images.shape)
        found = _load_copies(path, key, shape, images.dtype, teacher is not None)
        if found is not None:
            return found
        check_replaceable(path)
    check_writable(path)
    made = make_copies(images, augmentation, copies, seed, teacher, on_progress)
    _save_copies(path, key, made)
    return made


def make_copies(
    images: numpy.ndarray,
    augmentation: Augmentation,
    copies: int,
    seed: int,
    teacher: VariationalDropoutChain | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> WarpedCopies:
    """Make warped copies; the arguments are those of `load_or_make_copies`.

    Returns:
        The copies; of fewer with the same seed, the first ones are the same.

    Raises:
        ArgumentError: They are no images, the teacher can't take them, or a number has no meaning.
    """
    _check_numbers(copies, seed)
    n, done, start = len(images), 0, time.perf_counter()
    total = n * (copies if teacher is None else 2 * copies + 1)

    def count(examples: int) -> None:
        nonlocal done
        done += examples
        on_progress(done, total)

    count(0)
    plain_logits = None if teacher is None else compute_logits(teacher, images, count)
    augmentation, random = replace(augmentation, probability=1.0), numpy.random.RandomState(seed)
    warped = numpy.empty((copies, *images.shape), images.dtype)
    logits = []
    for copy in warped:
        copy[...] = augmentation.apply(images, random)
        count(n)
        if teacher is not None:
            logits.append(compute_logits(teacher, copy, count))
    seconds = time.perf_counter() - start
    return WarpedCopies(warped, numpy.stack(logits) if logits else None, plain_logits, seconds)


def copies_key(
    fingerprint: str,
    augmentation: Augmentation,
    copies: int,
    seed: int,
    teacher: VariationalDropoutChain | None = None,
) -> str:
    """Tell copies apart; the arguments are those of `load_or_make_copies`.

    Returns:
        The SHA-256 of all that they are made of, in hexadecimal.
    """
    _check_numbers(copies, seed)
    warp = {name: value for name, value in asdict(augmentation).items() if name != "probability"}
    of_teacher = None if teacher is None else teacher_sha256(teacher)
    return hashlib.sha256(
        json.dumps([fingerprint, warp, int(copies), int(seed), of_teacher]).encode()
    ).hexdigest()


def _check_numbers(copies: int, seed: int) -> None:
    if copies < 1:
        raise ArgumentError(f"copies is {copies}: it must be 1 or more")
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"seed is {seed}: it must lie between 0 and 2^32 - 1")


def _save_copies(path: Path, key: str, copies: WarpedCopies) -> None:
    chunks = (1, min(_CHUNK, copies.images.shape[1]), *copies.images.shape[2:])
    with new_h5(path, COPIES, FORMAT_VERSION) as file:
        file.attrs["key"] = key
        file.attrs["seconds"] = copies.seconds
        file.create_dataset(
            "images", data=copies.images, chunks=chunks, compression="gzip", compression_opts=1
        )
        if copies.logits is not None and copies.plain_logits is not None:
            file.create_dataset("logits", data=copies.logits)
            file.create_dataset("plain_logits", data=copies.plain_logits)


def _load_copies(
    path: Path, key: str, shape: tuple[int, ...], dtype: Any, has_logits: bool
) -> WarpedCopies | None:
    """Read the copies, or return None if the file holds others."""
    try:
        with open_h5(path, {COPIES: FORMAT_VERSION}) as file:
            if read_attribute(file, "key") != key:
                return None
            datasets = named_datasets(file)
            _check_arrays(datasets, shape, dtype, has_logits)
            arrays = {name: item[...] for name, item in datasets.items()}
            return WarpedCopies(**arrays, seconds=float(read_attribute(file, "seconds")))
    except FileFormatError as error:
        raise FileFormatError(
            f"{error}; warped copies are kept there: remove it to have them made anew, or give another "
            "--out"
        ) from error


def _check_arrays(
    datasets: dict[str, h5py.Dataset], shape: tuple[int, ...], dtype: Any, has_logits: bool
) -> None:
    expected = {"images", "logits", "plain_logits"} if has_logits else {"images"}
    if set(datasets) != expected:
        raise ValueError(f"it holds {sorted(datasets)}, expected {sorted(expected)}")
    images = datasets["images"]
    if images.shape != shape or images.dtype != dtype:
        raise ValueError(
            f"images is an array of {images.dtype} of shape {images.shape}, expected {dtype} of {shape}"
        )
    if has_logits:
        logits, plain = datasets["logits"], datasets["plain_logits"]
        fits = logits.ndim == 3 and logits.shape[:2] == shape[:2]
        if not fits or plain.shape != logits.shape[1:] or logits.dtype.kind != "f":
            raise ValueError(f"logits have shapes {logits.shape} and {plain.shape}")
