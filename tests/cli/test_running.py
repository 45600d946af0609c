"""What ends a training run on the command line."""

import errno
import io
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from vdprune.cli.running import leave, run_to_the_end


class Silent:
    """Progress that tells nothing."""

    def tell_of_compiling(self) -> None:
        pass

    def begin(self, run: Any) -> None:
        pass

    def end(self) -> None:
        pass


class Interrupted:
    """A run that is interrupted for the second time, before it could stop."""

    out = Path("night.h5")

    def __init__(self, epochs: int) -> None:
        self.has_checkpoint = epochs > 0

    def tell_what_is_kept(self) -> str:
        return " (night.h5 is that of epoch 3)" if self.has_checkpoint else " (nothing)"

    def run(self) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (0, "vdprune: interrupted (nothing)\n"),
        (3, "vdprune: interrupted (night.h5 is that of epoch 3), go on with `it`\n"),
    ],
)
def test_a_second_interrupt_says_what_there_is(
    capsys: pytest.CaptureFixture[str], epochs: int, message: str
) -> None:
    run: Any = Interrupted(epochs)
    progress: Any = Silent()
    with pytest.raises(SystemExit) as leaving:
        run_to_the_end(run, progress, [signal.SIGINT], "`it`")
    assert leaving.value.code == 130
    assert capsys.readouterr().err == message


class Gone(io.StringIO):
    """Where a terminal was."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_has_gone_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    with pytest.raises(SystemExit) as info:
        leave("stopped", [signal.SIGHUP])
    assert info.value.code == 129
