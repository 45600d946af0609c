"""What the command `vdprune` begins with: Ctrl-C is watched for before anything large is imported."""

import sys

from vdprune.cli.interruption import (
    ignore_interruptions,
    tell_interrupted,
    was_interrupted,
    watch_interruptions,
)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    watch_interruptions()
    try:
        from vdprune.cli.main import main as run
    except BaseException:  # which an import can have made of it
        if not was_interrupted():
            raise
        sys.exit(tell_interrupted())
    try:
        if was_interrupted():
            raise KeyboardInterrupt
        run()
    except KeyboardInterrupt:  # after the result was told
        sys.exit(tell_interrupted())
    finally:
        ignore_interruptions()  # or one would take the exit code of what is done
