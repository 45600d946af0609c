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
        "Training",
        "Errors, losses and the share of weights that are cut, epoch by epoch; dashed: the KL weight. "
        "Evaluation is on the images that training held out, if it did, else on the test images.",
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
    say of it, and the recipe of a checkpoint. Needs matplotlib.
    """
    from vdprune.cli.loading import load_any, load_its_dataset
    from vdprune.cli.results import describe_file
    from vdprune.errors import ArgumentError
    from vdprune.evaluation import evaluate
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
    facts = describe_file(
        file,
        loaded.kind,
        loaded.arch,
        data.name,
        loaded.threshold,
        loaded.sparsity,
        evaluate(loaded.model, data.test),
    )
    recipe = format_recipe(from_table(loaded.recipe)) if loaded.recipe else ""
    page = make_report(facts, data.test.description, recipe, _draw(loaded))
    write_atomically(out, page.encode())
    if not quiet:
        click.echo(f"{out} is written", err=True)


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
