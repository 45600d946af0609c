"""The results as text."""

from typing import Any

from benchmarks.inference.contenders import OURS


def render(results: dict[str, Any]) -> str:
    """Lay the results out.

    Args:
        results: What is written as JSON, too.

    Returns:
        A table in Markdown: milliseconds of ours, and how many times as long each of the others takes.
    """
    rows = [
        (f"{name}, {100 * network['sparsity']:.1f} % cut", row)
        for name, network in results["networks"].items()
        for row in network["rows"]
    ]
    others = [name for name in rows[0][1]["milliseconds"] if name != OURS]
    heads = ["", "examples", "threads", f"{OURS}, ms", *(f"{other}, times" for other in others)]
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1)]
    for network, row in rows:
        ours = row["milliseconds"][OURS]
        ratios = [f"{row['milliseconds'][other] / ours:.2f}" for other in others]
        numbers = [f"{row['examples']:,}", f"{row['threads']}", tell_milliseconds(ours)]
        lines.append([network, *numbers, *ratios])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tell_milliseconds(value: float) -> str:
    """Write milliseconds with three digits or more."""
    return f"{value:,.{4 if value < 1 else 2 if value < 100 else 0}f}"
