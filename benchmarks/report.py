"""The results as text."""

import textwrap
from collections.abc import Iterable
from typing import Any

from benchmarks.contenders import FLOOR, OURS

_HEADER = ("network", "contender", "ms per step", "(quartiles)", "vdprune / it", "peak MB")
_WIDTH = 100


def render(results: dict[str, Any]) -> str:
    """Lay the results out.

    Args:
        results: What is written as JSON, too.

    Returns:
        A table, the recipe's time, and what all was measured on and with.
    """
    parts = [_table(results["networks"]), _explain(results)]
    parts += [_recipe(entry) for entry in results["recipe"]]
    parts += [_machine(results["machine"]), _conditions(results["networks"])]
    return "\n\n".join(parts)


def _table(networks: dict[str, list[dict[str, Any]]]) -> str:
    cells: list[tuple[str, ...]] = [_HEADER]
    for network, rows in networks.items():
        cells += [_cells(network, row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cells(network: str, row: dict[str, Any]) -> tuple[str, ...]:
    ms = row["ms"]
    return (
        network,
        "matrix products alone" if row["contender"] == FLOOR else row["contender"],
        _number(ms["median"]),
        f"({_number(ms['lower_quartile'])} to {_number(ms['upper_quartile'])})",
        "" if row["contender"] == OURS else f"{row['vdprune_over_it']:.2f}",
        f"{row['peak_mb']:.0f}",
    )


def _explain(results: dict[str, Any]) -> str:
    options = results["options"]
    steps = ", ".join(f"{network} {count}" for network, count in options["steps"].items())
    return _fill(
        f"Batches of {options['batch']}; threads for each: {options['threads']}; rounds in turns: "
        f"{options['rounds']}, each time a new process of so many steps after a warm-up: {steps}. "
        "vdprune / it: medians of a round's steps, then the median of the rounds; below 1 vdprune is "
        "faster. Peak memory is that of the whole process, images and libraries among it."
    )


def _recipe(entry: dict[str, Any]) -> str:
    return (
        f"{entry['contender']}, the whole recipe of {entry['network']}, {entry['epochs']} epochs with "
        f"evaluations and checkpoints:\n"
        f"  {entry['seconds']:.0f} s, error {entry['error']:.2f} %, compression "
        f"{entry['compression']:.1f}x\n"
        f"{entry['best_peer']}, the best peer, computed from its steps alone "
        f"({1000 * entry['best_peer_seconds'] / entry['steps']:.2f} ms x {entry['steps']:,}):\n"
        f"  {entry['best_peer_seconds']:.0f} s; vdprune / it {entry['vdprune_over_it']:.2f}"
    )


def _machine(machine: dict[str, Any]) -> str:
    environment = " ".join(f"{name}={value}" for name, value in machine["environment"].items())
    return "\n".join(
        (
            _fill(
                f"machine: {machine['processor']}, {machine['processors']} processors, load before: "
                f"{machine['load']:.2f}"
            ),
            _fill(f"system: {machine['system']}"),
            _fill(f"environment of the BLAS libraries: {environment or 'nothing is set'}"),
        )
    )


def _conditions(networks: dict[str, list[dict[str, Any]]]) -> str:
    rows = [(network, row) for network, rows in networks.items() for row in rows]
    versions: dict[str, str] = {}
    for _, row in rows:
        versions.update(row["versions"])
    lines = ["versions: " + ", ".join(f"{name} {number}" for name, number in versions.items())]
    kernels = _group((row["blas"], row["contender"]) for _, row in rows)
    lines += [f"matrix products of {names}: {kernel}" for kernel, names in kernels.items()]
    lines.append("settings:")
    for name in dict.fromkeys(row["contender"] for _, row in rows):
        settings = _group(
            (row["settings"], network) for network, row in rows if row["contender"] == name
        )
        for text, where in settings.items():
            lines.append(f"  {name}{'' if len(settings) == 1 else f' ({where})'}: {text}")
    return "\n".join(_fill(line) for line in lines)


def _group(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Collect who has the same in common: from text to names."""
    groups: dict[str, dict[str, None]] = {}
    for text, name in pairs:
        groups.setdefault(text, {})[name] = None
    return {text: ", ".join(names) for text, names in groups.items()}


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _fill(text: str) -> str:
    indent = text[: len(text) - len(text.lstrip())]
    return textwrap.fill(
        text.lstrip(), _WIDTH, initial_indent=indent, subsequent_indent=indent + "  "
    )
