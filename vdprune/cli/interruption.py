"""Ctrl-C, so that none is lost and each is told in one line."""

import signal
import sys
import threading
from typing import Any

INTERRUPTED = 130  # the exit code
_AGAIN = 0.02  # seconds after which one is raised again

_received: list[int] = []


def watch_interruptions() -> None:
    """Remember each Ctrl-C, and raise it again where Python can only print it, as in a destructor."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # or it is to be ignored
        signal.signal(signal.SIGINT, _receive)
    sys.unraisablehook = _raise_again


def ignore_interruptions() -> None:
    """Let a Ctrl-C do nothing from now on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_interrupted() -> bool:
    """Tell whether Ctrl-C came; what it met, as an import, may have made another error of it.

    Returns:
        Whether it did, since `watch_interruptions`.
    """
    return bool(_received)


def _receive(number: int, frame: Any) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def _raise_again(error: Any) -> None:
    if issubclass(error.exc_type, KeyboardInterrupt):
        main = threading.main_thread().ident
        timer = threading.Timer(_AGAIN, signal.pthread_kill, (main, signal.SIGINT))  # wakes it, too
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(error)


def tell_interrupted() -> int:
    """Say on standard error that the command was interrupted.

    Returns:
        The exit code.
    """
    if sys.stderr is not None:  # or it would go to standard output
        print("vdprune: interrupted", file=sys.stderr)
    return INTERRUPTED
