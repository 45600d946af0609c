"""vdprune report."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vdprune.cli.options import FILE, config_option, dataset_options, out_option

if TYPE_CHECKING:
    from vdprune.cli.loading import LoadedFile
    from vdprune.report import Picture

_TITLES = {
    "curves": (
        "Epoch by epoch",
        "Errors, the parts of the loss and the share of weights that are left; vertical lines are where "
        "phases begin. Evaluation is on the images that training held out, if it did, else on the test "
        "images.",
    ),
    "error-against-compression": (
        "Error against compression",
        "Each point is the network at the end of an epoch, measured as above.",
    ),
    "log-alpha": (
        "Noise",
        "How noisy each layer's weights are; those to the right of the line are cut.",
    ),
}


@click.command("report")
@click.argument("file", type=FILE, default=Path("checkpoint.h5"))
@out_option("report.html", "FILE.html")
@dataset_options("the one that the network was trained on")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing.")
@config_option
def report_command(
    file: Path, out: Path, dataset: str | None, data_root: Path | None, quiet: bool
) -> None:
    """Write one page about a network, its tables and pictures inside.

    FILE is any of ours, checkpoint.h5 by default; the page has what `vdprune eval` and `vdprune plot`
    say of it; of a checkpoint and of a pruned file, too, how it was trained: for how long, its teacher,
    the recipe. Needs matplotlib.
    """
    from vdprune.chain_evaluation import evaluate
    from vdprune.cli.loading import load_any, load_its_dataset
    from vdprune.cli.results import describe_file
    from vdprune.cli.scale import tell_of_scale
    from vdprune.errors import ArgumentError
    from vdprune.plotting import load_matplotlib
    from vdprune.recipes.files import format_recipe
    from vdprune.recipes.tables import from_table
    from vdprune.report import make_report
    from vdprune.storage import check_marked, check_writable, write_atomically

    if out.suffix not in (".html", ".htm"):
        raise ArgumentError(f"{out} ends in {out.suffix or 'nothing'}: a report ends in .html")
    loaded = load_any(file)
    load_matplotlib()  # says so if it is missing
    check_writable(out)
    check_marked(out)
    data = load_its_dataset(file, loaded.dataset, dataset, data_root)
    if not quiet:
        tell_of_scale(loaded, data)
    facts = describe_file(
        file,
        loaded.kind,
        loaded.arch,
        data.name,
        loaded.threshold,
        loaded.sparsity,
        evaluate(loaded.model, data.test),
    )
    training, recipe = {}, ""
    if loaded.recipe:
        training = _describe_training(loaded)
        recipe = format_recipe(from_table(loaded.recipe))
    page = make_report(facts, data.test.description, training, recipe, _draw(loaded))
    write_atomically(out, page.encode(errors="backslashreplace"))  # a file's name can be any bytes
    if not quiet:
        click.echo(f"{out} is written", err=True)


def _describe_training(stored: "LoadedFile") -> dict[str, str]:
    """Tell how long a network was trained, and who taught it."""
    epochs, before = len(stored.history), stored.preparation
    minutes = (sum(row["seconds"] for row in stored.history) + before) / 60
    what = f", {before / 60:.1f} of them for the teacher and the images" if before else ""
    words = {"epochs": f"{epochs:,}", "time": f"{minutes:.1f} minutes{what}"}
    for recipe in (*stored.earlier_recipes, stored.recipe):
        name = "recipe" if recipe is stored.recipe else "earlier recipe"
        words[name] = ", then ".join(filter(None, (words.get(name), recipe["name"])))
        if "teacher" in recipe:
            words["teacher"] = _describe_teacher(**recipe["teacher"])
            own = [phase["name"] for phase in recipe.get("phases", ()) if "temperature" in phase]
            if own:
                words["teacher"] += f"; {' and '.join(own)} had their own"
    return words


def _describe_teacher(
    temperature: float,
    weight: float,
    arch: str = "",
    recipe: str = "",
    networks: int = 1,
    file: str = "",
) -> str:
    several = f"{networks} networks " if networks > 1 else ""
    who = file or f"{several}{arch}, trained by the recipe {recipe}"
    return f"{who}; its share of the loss is {weight:g}, the temperature {temperature:g}"


def _draw(loaded: "LoadedFile") -> "Iterator[Picture]":
    from vdprune.cli.pictures import draw_all
    from vdprune.report import Picture

    for name, figure in draw_all(loaded):
        title, caption = _TITLES.get(
            name,
            (
                f"Weights left in {name.removeprefix('mask-')}",
                "The darker, the more weights are left.",
            ),
        )
        yield Picture(title, caption, figure)
