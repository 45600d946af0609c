"""Ctrl-C at odd places, each in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vdprune.cli import interruption
from vdprune.cli.running import watching_signals

BEGIN = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # what started us may ignore it

def interrupt(name="", *_):
    if name == WHERE:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:  # as some extension modules do
            raise ImportError("failed to import") from None

class Finder:
    find_spec = staticmethod(interrupt)
"""
IMPORTING = f"""{BEGIN}
sys.meta_path.insert(0, Finder())
from vdprune.cli.entry import main
main()
"""
DESTROYING = f"""{BEGIN}
from vdprune.cli.interruption import watch_interruptions

class Left:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

watch_interruptions()
started = time.monotonic()
try:
    left = Left()
    del left
    time.sleep(20)
except KeyboardInterrupt:
    print("raised" if time.monotonic() < started + 10 else "raised when the wait was over")
"""
ENDING = f"""{BEGIN}
import gc
from vdprune.cli.entry import main
if WHERE == "end":
    gc.freeze = lambda: signal.raise_signal(signal.SIGINT)
try:
    main()
finally:
    signal.raise_signal(signal.SIGINT)
"""


def run_python(code: str, *args: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["click", "h5py", "vdprune.cli.loading", "safetensors.numpy"])
def test_while_something_is_imported(trained: Path, tmp_path: Path, module: str) -> None:
    command = ("export", trained / "pruned.h5", "--quiet", "--out", tmp_path / "w.safetensors")
    found = run_python(f"WHERE = {module!r}{IMPORTING}", *command)
    assert found == (130, "", "vdprune: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_an_import_that_fails_by_itself_is_told() -> None:
    code = "import sys; sys.modules['click'] = None; from vdprune.cli.entry import main; main()"
    returncode, _, message = run_python(code, "--version")
    assert returncode == 1
    assert "import of click halted" in message


def test_in_a_destructor_it_is_raised_a_little_later() -> None:
    assert run_python(f"WHERE = ''{DESTROYING}") == (0, "raised\n", "")


@pytest.mark.parametrize(
    ("where", "code", "told"), [("after", 0, ""), ("end", 130, "vdprune: interrupted\n")]
)
def test_when_all_is_done(where: str, code: int, told: str) -> None:
    returncode, text, message = run_python(f"WHERE = {where!r}{ENDING}", "--version")
    assert (returncode, message) == (code, told)
    assert text.startswith("vdprune ")


def test_one_that_was_swallowed_before_training_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(interruption, "_received", [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt), watching_signals():
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGINT) is before
