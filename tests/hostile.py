"""Damage to files, and a child process to read them in: it may crash, hang or take all memory."""

import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings

from vdprune.errors import VdpruneError

MOST_SECONDS = 5  # of the processor, for one file
MOST_MEMORY = 3e8  # bytes that a child may take beyond what it starts with

CASES = 10  # of each example of Hypothesis, which takes longer than reading a damaged file

damages = settings(max_examples=60, deadline=None, derandomize=True)
few = settings(damages, max_examples=20)


def cut(random: Random, data: bytes) -> bytes:
    """Cut a file anywhere."""
    return data[: random.randrange(len(data))]


def flip(random: Random, data: bytes) -> bytes:
    """Flip one to eight bits."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, 8)):
        damaged[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def overwrite(random: Random, data: bytes) -> bytes:
    """Write zeros, or anything, over a part, as often as not to the end."""
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    end = random.choice((end, len(data), min(len(data), start + 8)))
    new = random.choice((bytes(end - start), random.randbytes(end - start)))
    return data[:start] + new + data[end:]


def append(random: Random, data: bytes) -> bytes:
    """Put bytes at the end, and as often as not flip bits before them."""
    before = random.choice((data, flip(random, data)))
    return before + random.choice((random.randbytes, bytes))(random.randint(1, 100))


DAMAGES = {function.__name__: function for function in (cut, flip, overwrite, append)}


def run_in_child(function: Callable[[], Any], folder: Path) -> None:
    """Run what may bring the interpreter down; an error there is one here.

    Args:
        function: What is run.
        folder: For a report; the files that the function left there tell what it was about.
    """
    report = folder / "report.txt"
    report.write_text("it crashed, or took too long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        child = os.fork()
    if child == 0:
        before = _most_memory()
        try:
            function()
            taken = _most_memory() - before
            assert taken < MOST_MEMORY, f"it took {taken / 1e6:.0f} MB"
            os._exit(0)
        except BaseException:
            report.write_text(traceback.format_exc())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if status:
        pytest.fail(f"{report.read_text()}\nstatus {status}, see {folder}", pytrace=False)


def replace_file(path: Path, data: bytes) -> None:
    """Write another file in the place of one: some file systems wait for the disk otherwise."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def read_hostile(read: Callable[[Path], Any], path: Path, word: str = "") -> Any:
    """Read a file that must end in our error, or in something, and in time.

    Args:
        read: Reads it.
        path: The file.
        word: What the error must name, besides the file's own name.

    Returns:
        What was read; None if it was refused.
    """
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        return read(path)
    except VdpruneError as error:
        assert (word or path.name) in str(error), "which file it is must be said"
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _most_memory() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
