"""The `vdprune` command: its subcommands, and what becomes of errors."""

import difflib
import gc
import os
import sys
import traceback

import click
from click.core import ParameterSource

from vdprune.cli.bench import bench_command
from vdprune.cli.convert import convert_command
from vdprune.cli.eval import eval_command
from vdprune.cli.export import export_command
from vdprune.cli.inspect import inspect_command
from vdprune.cli.interruption import tell_interrupted, was_interrupted
from vdprune.cli.options import CONFIG
from vdprune.cli.plot import plot_command
from vdprune.cli.prune import prune_command
from vdprune.cli.report import report_command
from vdprune.cli.sweep import sweep_command
from vdprune.cli.train import train_command
from vdprune.errors import VdpruneError
from vdprune.version import __version__

DONE = 0
FAILED = 1
_TRACEBACK = "VDPRUNE_TRACEBACK"


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
cli.add_command(sweep_command)
cli.add_command(prune_command)
cli.add_command(eval_command)
cli.add_command(export_command)
cli.add_command(convert_command)
cli.add_command(inspect_command)
cli.add_command(bench_command)
cli.add_command(plot_command)
cli.add_command(report_command)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    _warn_of_unknown_variables()
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
        code = tell_interrupted()
    except BrokenPipeError:
        code = _quit_quietly()
    except (VdpruneError, OSError, MemoryError) as error:
        _print_traceback()
        code = tell_interrupted() if was_interrupted() else _tell_error(error)
    except Exception as error:
        _print_traceback()
        code = tell_interrupted() if was_interrupted() else _tell_bug(error)
    gc.freeze()  # or Python goes through all that Numba made before it ends, for half a second
    sys.exit(code or DONE)


def _warn_of_unknown_variables() -> None:
    """Name variables of the environment that look like options and are none."""
    known = {_TRACEBACK} | {
        f"VDPRUNE_{command}_{parameter.name}".upper()
        for command, subcommand in cli.commands.items()
        for parameter in subcommand.params
        if isinstance(parameter, click.Option)
    }
    for name in sorted(os.environ):
        if name.startswith("VDPRUNE_") and name not in known:
            close = difflib.get_close_matches(name, known, 1, cutoff=0.86)
            hint = f"; did you mean {close[0]}?" if close else ""
            click.echo(f"vdprune: {name} is set, but there is no such option{hint}", err=True)


def _tell_error(error: Exception) -> int:
    click.echo(f"vdprune: error: {_one_line(error)}", err=True)
    return FAILED


def _tell_bug(error: Exception) -> int:
    click.echo(
        f"vdprune: this is a bug: {type(error).__name__}: {_one_line(error)}; please report it "
        "with what VDPRUNE_TRACEBACK=1 prints",
        err=True,
    )
    return FAILED


def _print_traceback() -> None:
    if os.environ.get(_TRACEBACK):
        traceback.print_exc()


def _one_line(error: BaseException) -> str:
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{_place_of(error)}: {error.strerror}; choose another place, or make room there"
    return " ".join(text.split()) or type(error).__name__


def _place_of(error: OSError) -> str:
    if error.filename is None:  # all files of ours are written by name
        return "the result can't be printed"
    return f"{os.fsdecode(error.filename)} can't be used"


def _where_to_look(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return ""
    return f" ({_where_from(error, context)}`{context.command_path} -h` shows how it is used)"


def _where_from(error: click.ClickException, context: click.Context) -> str:
    """Say where a value that is refused was set, if it was not typed."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return ""
    name = str(error.param.name)
    source = context.get_parameter_source(name)
    if source is ParameterSource.ENVIRONMENT:
        return f"set in the environment, {context.auto_envvar_prefix}_{name.upper()}; "
    return f"set in {context.meta[CONFIG]}; " if source is ParameterSource.DEFAULT_MAP else ""


def _quit_quietly() -> int:
    """Let a reader such as `head` close our output; nothing more may be written to it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
