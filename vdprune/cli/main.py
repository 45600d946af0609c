"""The `vdprune` command: its subcommands, and what becomes of errors."""

import os
import sys
import traceback

import click

from vdprune.cli.eval import eval_command
from vdprune.cli.export import export_command
from vdprune.cli.prune import prune_command
from vdprune.cli.train import train_command
from vdprune.errors import VdpruneError
from vdprune.version import __version__

DONE = 0
FAILED = 1
INTERRUPTED = 130


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": "VDPRUNE",
    },
    epilog="Each option can also be set in the environment, as VDPRUNE_TRAIN_EPOCHS=20 for "
    "`vdprune train --epochs 20`, or in a TOML file given with --config.",
)
@click.version_option(__version__, "--version", message="vdprune %(version)s")
def cli() -> None:
    """Make neural networks small with sparse variational dropout.

    `vdprune train` writes checkpoint.h5, `vdprune prune` makes pruned.h5 of it, `vdprune export`
    makes weights.h5 of that; `vdprune eval FILE` measures any of the three.
    """


cli.add_command(train_command)
cli.add_command(prune_command)
cli.add_command(eval_command)
cli.add_command(export_command)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    try:
        code = cli.main(prog_name="vdprune", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # so that a closed pipe is noticed here
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"vdprune: error: {_one_line(error)}{_where_to_look(error)}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("vdprune: interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        code = _quit_quietly()
    except (VdpruneError, OSError, MemoryError) as error:
        click.echo(f"vdprune: error: {_one_line(error)}", err=True)
        code = FAILED
    except Exception as error:
        if os.environ.get("VDPRUNE_TRACEBACK"):
            traceback.print_exc()
        click.echo(
            f"vdprune: this is a bug: {type(error).__name__}: {_one_line(error)}; please report it "
            "with what VDPRUNE_TRACEBACK=1 prints",
            err=True,
        )
        code = FAILED
    sys.exit(code or DONE)


def _one_line(error: BaseException) -> str:
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    return " ".join(text.split()) or type(error).__name__


def _where_to_look(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (`{context.command_path} -h` shows how it is used)" if context else ""


def _quit_quietly() -> int:
    """Let a reader such as `head` close our output; nothing more may be written to it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
