"""Options that several subcommands share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def gpu_option(command: Command) -> Command:
    """--gpu."""
    return click.option(
        "--gpu",
        type=click.IntRange(min=0),
        metavar="N",
        help="Number of the GPU to run on; needs CuPy.  [default: the CPU]",
    )(command)


def dataset_options(default: str) -> Callable[[Command], Command]:
    """--dataset and --data-root."""

    def decorate(command: Command) -> Command:
        command = click.option(
            "--data-root",
            type=FILE,
            metavar="FOLDER",
            help="For cifar10 and cifar100: the folder of the original batches.  "
            "[default: download them]",
        )(command)
        return click.option(
            "--dataset",
            metavar="NAME|PATH",
            help="mnist (in the package), cifar10, cifar100, a folder of IDX files, or an .npz or "
            f".h5 file with x_train, y_train, x_test, y_test.  [default: {default}]",
        )(command)

    return decorate


def output_options(command: Command) -> Command:
    """--json and --quiet."""
    command = click.option(
        "--quiet", "-q", is_flag=True, help="Print the result alone, no progress or messages."
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
    )(command)


def config_option(command: Command) -> Command:
    """--config."""
    return click.option(
        "--config",
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        metavar="FILE.toml",
        help="Take options from this file: `epochs = 20` under [train] or at the top.",
    )(command)


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the options in a TOML file the command's defaults; what is typed wins."""
    if path is None:
        return
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.BadParameter(f"{path} can't be read: {reason}", ctx, param) from error
    command = str(ctx.info_name)
    sections = set(ctx.parent.command.commands) if ctx.parent else set()  # type: ignore[attr-defined]
    values = {key: value for key, value in config.items() if key not in sections}
    values.update(config.get(command, {}))
    names = {
        option.removeprefix("--"): parameter.name
        for parameter in ctx.command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    for key in values:
        if key.replace("_", "-") not in names or key == "config":
            known = ", ".join(sorted(set(names) - {"config", "help"}))
            raise click.BadParameter(
                f"{path} sets {key!r}, which `{command}` has no option for; it knows {known}",
                ctx,
                param,
            )
    ctx.default_map = {names[key.replace("_", "-")]: value for key, value in values.items()}
