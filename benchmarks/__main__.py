"""vdprune against its peers: python -m benchmarks."""

import json as json_format
from pathlib import Path
from typing import Any

import click

from benchmarks.contenders import OURS, list_contenders, missing_peers
from benchmarks.machine import available_processors, describe_machine
from benchmarks.networks import BATCH, NETWORKS
from benchmarks.recipe import EPOCHS, NETWORK, measure_recipe
from benchmarks.report import render
from benchmarks.rounds import MeasurementError, measure_in_turns
from benchmarks.summary import compare_recipe, summarise

_STEPS = ", ".join(f"{network.name} {network.steps}" for network in NETWORKS.values())

_BUSY = 0.5


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--networks",
    type=click.Choice(list(NETWORKS)),
    multiple=True,
    default=list(NETWORKS),
    show_default=True,
    help="What is trained; can be given several times.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--steps", type=click.IntRange(min=1), help=f"Steps timed in a round.  [default: {_STEPS}]"
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=min(2, available_processors()),
    show_default=True,
    help="For everyone.",
)
@click.option(
    "--recipe/--no-recipe",
    default=None,
    help=f"Whether to time the {EPOCHS} epochs of {NETWORK}, too.  [default: with {NETWORK}]",
)
@click.option(
    "--json",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("benchmarks.json"),
    show_default=True,
    help="Where the results are written.",
)
def main(
    networks: tuple[str, ...],
    rounds: int,
    steps: int | None,
    threads: int,
    recipe: bool | None,
    json: Path,
) -> None:
    """Time training steps here and in other implementations, in turns on the same machine."""
    if missing := missing_peers():
        raise click.ClickException(
            f"{', '.join(missing)} not installed: pip install '.[bench]' brings the peers"
        )
    if recipe and NETWORK not in networks:
        raise click.UsageError(f"--recipe is for {NETWORK}, which is not among the networks")
    machine = describe_machine()
    if machine["load"] > _BUSY:
        _tell(
            f"the machine is busy, its load is {machine['load']:.2f}: threads that wait for each other "
            "suffer most, so do not trust the comparison"
        )
    counts = {name: steps or NETWORKS[name].steps for name in NETWORKS if name in networks}
    try:
        rows = {
            name: summarise(measure_in_turns(NETWORKS[name], rounds, count, threads, _tell))
            for name, count in counts.items()
        }
        is_recipe_wanted = NETWORK in rows if recipe is None else recipe
        recipes = _measure_recipes(threads, rows[NETWORK]) if is_recipe_wanted else []
    except MeasurementError as error:
        raise click.ClickException(str(error)) from None
    results = {
        "machine": machine,
        "options": {
            "batch": BATCH,
            "rounds": rounds,
            "threads": threads,
            "steps": counts,
            "warm_up": {name: NETWORKS[name].warm_up for name in counts},
        },
        "networks": rows,
        "recipe": recipes,
    }
    json.write_text(json_format.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo(render(results))
    _tell(f"the same as JSON: {json}")


def _measure_recipes(threads: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ours = [contender for contender in list_contenders() if contender.worker == OURS]
    return [compare_recipe(measure_recipe(contender, threads), rows) for contender in ours]


def _tell(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
