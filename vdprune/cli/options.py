"""Options that several subcommands share."""

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from vdprune.errors import ArgumentError

Command = TypeVar("Command", bound=Callable[..., Any])


class _File(click.Path):
    """The name of a file or a folder, which is not empty, as a variable of a shell may be."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


FILE = _File(path_type=Path)
CONFIG = "vdprune.config"  # under which a context keeps the file of --config


class _Percent(click.FloatRange):
    """Percentage points of the error: not negative, and a number, which NaN is not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


PERCENT = _Percent(min=0)


class _Setting(click.ParamType):
    """FIELD=VALUE; in the environment one a line, for values have spaces in them."""

    name = "setting"

    def split_envvar_value(self, rv: str) -> list[str]:
        return [line for line in rv.splitlines() if line.strip()]


SETTING = _Setting()


class _Gpu(click.ParamType):
    """The number of a GPU; None for the CPU."""

    name = "gpu"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if value == "cpu":
            return None
        try:
            number = int(value)
        except ValueError:
            number = -1
        if number < 0:
            self.fail(
                f"{value!r} is neither the number of a GPU, counted from 0, nor cpu", param, ctx
            )
        return number


def gpu_option(command: Command) -> Command:
    """--gpu."""
    return click.option(
        "--gpu",
        type=_Gpu(),
        metavar="N",
        help="Number of the GPU to run on, counted from 0, or cpu; needs CuPy.  [default: cpu]",
    )(command)


def threads_option(command: Command) -> Command:
    """--threads."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads that large layers share their work among; a run is repeated to the bit with the "
        "same number only.  "
        "[default: 2, or 1 where there is one processor]",
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
    return click.option("--json", is_flag=True, help="Print the result as one JSON object.")(
        command
    )


def out_option(default: str, metavar: str, text: str = "") -> Callable[[Command], Command]:
    """--out."""
    return click.option(
        "--out",
        type=FILE,
        default=Path(default),
        show_default=True,
        metavar=metavar,
        help=f"The file to write.  {text}".strip(),
    )


def check_out(out: Path, source: Path) -> None:
    """Refuse to write over what is read, and to begin what can't be written."""
    if out.resolve() == source.resolve():
        raise ArgumentError(f"{out} would be written over itself: name another file to write")
    from vdprune.checkpoint import check_no_run
    from vdprune.storage import check_output, check_writable

    check_writable(out)
    check_output(out)
    check_no_run(out)


def check_checkpoint_name(out: Path) -> None:
    """Refuse a checkpoint whose name says that it is something else."""
    if out.is_dir():
        raise ArgumentError(f"{out} is a folder: name a file in it, as {out / 'checkpoint.h5'}")
    if out.suffix not in (".h5", ".hdf5"):
        raise ArgumentError(
            f"{out} ends in {out.suffix or 'nothing'}: a checkpoint ends in .h5 or .hdf5"
        )


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

    def refuse(text: str) -> NoReturn:
        raise click.BadParameter(f"{path} {text}", ctx, param)

    ctx.meta[CONFIG] = path
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        config = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        refuse(f"can't be read: {getattr(error, 'strerror', None) or error}")
    group = ctx.parent.command if ctx.parent else None
    commands = group.commands if isinstance(group, click.Group) else {}
    section = config.pop(str(ctx.info_name), {})
    if not isinstance(section, dict):
        refuse(f"has a value in the place of the section [{ctx.info_name}]")
    # What stands at the top is for the commands that have such an option.
    anywhere = {name for command in commands.values() for name in _long_options(command)}
    options = _long_options(ctx.command)
    values = {}
    for key, value in {**config, **section}.items():
        name = key.replace("_", "-")
        if name in options:
            values[options[name].name] = _config_value(options[name], key, value, refuse)
        elif key in config and isinstance(value, dict):
            if key not in commands:
                refuse(
                    f"has a section [{key}], and no command of that name"
                    f"{_hint(key, commands, '[{}]')}; there are {', '.join(commands)}"
                )
        elif key in section or name not in anywhere:
            refuse(
                f"sets {key!r}, which `{ctx.info_name}` has no option for{_hint(name, options, '{}')}; "
                f"it knows {', '.join(options)}"
            )
    ctx.default_map = values


def _hint(name: str, known: Iterable[str], written: str) -> str:
    """Ask for a name that is nearly the same, if there is one."""
    near = get_close_matches(name, list(known), 1)
    return f", is {written.format(near[0])} meant?" if near else ""


def _long_options(command: click.Command) -> dict[str, click.Option]:
    return {
        name.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name != "config"
        for name in parameter.opts
        if name.startswith("--")
    }


def _config_value(
    option: click.Option, key: str, value: Any, refuse: Callable[[str], NoReturn]
) -> Any:
    """Take a value as if it had been typed, so that click checks and converts it."""
    if option.multiple and isinstance(value, list):
        return [str(item) for item in value]
    if option.multiple:
        refuse(f"sets {key!r} to {value!r}, which is not a list")
    if isinstance(value, bool) is not option.is_flag or not isinstance(value, str | int | float):
        kind = "true or false" if option.is_flag else option.metavar or option.type.name
        refuse(f"sets {key!r} to {value!r}: {option.opts[0]} takes {kind}")
    return value if option.is_flag else str(value)
