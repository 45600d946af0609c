"""What is computed from the measurements."""

import statistics
from typing import Any

from benchmarks.contenders import OURS, PEERS


def summarise(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Summarise the measurements of one network.

    Args:
        rounds: What each contender's worker printed, round by round, everyone in the same order.

    Returns:
        A row per contender: median and quartiles of the milliseconds of all rounds' steps; vdprune's
        median over the contender's, round by round, and the median of these ratios; the median of
        the peaks of memory; and how it was measured.
    """
    rows = []
    for turns in zip(*rounds, strict=True):
        ratios = [
            statistics.median(_find(measured, OURS)["ms"]) / statistics.median(turn["ms"])
            for measured, turn in zip(rounds, turns, strict=True)
        ]
        low, middle, high = quartiles([ms for turn in turns for ms in turn["ms"]])
        rows.append(
            {
                "contender": turns[0]["contender"],
                "ms": {"lower_quartile": low, "median": middle, "upper_quartile": high},
                "vdprune_over_it": statistics.median(ratios),
                "vdprune_over_it_by_round": ratios,
                "peak_mb": statistics.median(turn["peak_mb"] for turn in turns),
                **{key: turns[0][key] for key in ("settings", "blas", "versions")},
            }
        )
    return rows


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def compare_recipe(recipe: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Set the recipe's time against that of the fastest peer's steps alone.

    Args:
        recipe: What `measure_recipe` returned.
        rows: What `summarise` returned for the same network.

    Returns:
        The recipe's entries, and the name, seconds and ratio of the peer.
    """
    best = min(
        (row for row in rows if row["contender"] in PEERS), key=lambda row: row["ms"]["median"]
    )
    seconds = best["ms"]["median"] * recipe["steps"] / 1000
    return {
        **recipe,
        "best_peer": best["contender"],
        "best_peer_seconds": seconds,
        "vdprune_over_it": recipe["seconds"] / seconds,
    }


def _find(measured: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in measured if entry["contender"] == name)
