"""Writes docs/cli.md from the help texts: python docs/make_cli_reference.py."""

from pathlib import Path

import click

from vdprune.cli.main import cli

PAGE = Path(__file__).with_name("cli.md")


def reference() -> str:
    """Return the page: the help of the group and of each command, 100 columns wide."""
    context = click.Context(
        cli, info_name="vdprune", **{**cli.context_settings, "terminal_width": 100}
    )
    parts = ["# The command line", _block("vdprune", cli.get_help(context))]
    for name, command in sorted(cli.commands.items()):
        child = click.Context(command, parent=context, info_name=name, terminal_width=100)
        parts.append(_block(f"vdprune {name}", command.get_help(child)))
    return "\n\n".join(parts) + "\n"


def _block(title: str, text: str) -> str:
    lines = [f"    {line}".rstrip() for line in text.splitlines()]
    return f"## {title}\n\n" + "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
