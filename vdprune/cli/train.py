"""vdprune train."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.archs import ARCHS
from vdprune.cli.options import (
    FILE,
    SETTING,
    check_checkpoint_name,
    config_option,
    dataset_options,
    gpu_option,
    out_option,
    output_options,
    threads_option,
)
from vdprune.cli.running import how_to_resume, print_run, run_to_the_end, watching_signals

if TYPE_CHECKING:
    from vdprune.cli.starting import Order
    from vdprune.recipes.recipe import Recipe
    from vdprune.training.trainer import TrainingRun


@click.command("train", short_help="Train a network with sparse variational dropout.")
@click.option("--arch", type=click.Choice(list(ARCHS)), help="The network.  [default: lenet300]")
@click.option(
    "--width",
    type=float,
    metavar="K",
    help="For vgg-like: what the number of filters of each layer is multiplied by.  [default: 1]",
)
@dataset_options(default="mnist")
@click.option(
    "--method",
    type=click.Choice(["variational", "magnitude"]),
    help="How weights are chosen: by variational dropout; or by their magnitude, cut little by little "
    "(Zhu and Gupta, 2017), for comparison.  [default: variational]",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE.toml",
    help="How to train: paper; strong, sparser at the same error, with a teacher (lenet300, lenet5); "
    "quick, for a first look; dense, an ordinary network; magnitude, the baseline; teacher, an ordinary "
    "one on changed images; or a file such as --show-recipe prints.  [default: paper]",
)
@click.option(
    "--show-recipe", is_flag=True, help="Print the recipe that would be used as TOML, and stop."
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes through the training images, of all phases; the recipe's schedules and cuts are "
    "stretched along, what --set gives is not.",
)
@click.option("--batch-size", type=int, metavar="N", help="Images in a step.")
@click.option(
    "--threshold",
    type=float,
    metavar="LOG_ALPHA",
    help="Log alpha above which a weight counts as zero.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.")
@click.option(
    "--validation",
    type=int,
    metavar="N",
    help="Training images to hold out; the epoch lines then report on them, not on the test images, and "
    "the best of the epochs that are done with sparsifying is kept in checkpoint.best.h5.",
)
@click.option(
    "--set",
    type=SETTING,
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe, as --show-recipe prints it: teacher.weight=0.5; of a phase "
    "under its name: sparsify.kl_weight='[[5, 0], [20, 14]]' (points of epoch and value, read as an "
    "epoch begins, or one number), rounds.cuts.0.compression=140 (cuts count from 0). Nothing after "
    "the = takes away what need not be: teacher=. Can be given several times; VDPRUNE_TRAIN_SET in the "
    "environment holds one a line.",
)
@click.option(
    "--teacher",
    type=FILE,
    metavar="CHECKPOINT",
    help="A trained network to learn from, beside the labels. Where a recipe trains its teacher first, "
    "that is kept beside --out as checkpoint.teacher.h5, a second one as checkpoint.teacher2.h5.",
)
@click.option(
    "--init",
    type=FILE,
    metavar="CHECKPOINT",
    help="A network of the same arch, dense or variational, whose weights to start with.",
)
@out_option("checkpoint.h5", "FILE.h5", "It is replaced after each epoch.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@gpu_option
@threads_option
@output_options
@config_option
def train_command(
    data_root: Path | None,
    show_recipe: bool,
    out: Path,
    resume: bool,
    overwrite: bool,
    gpu: int | None,
    threads: int | None,
    json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Train a network with sparse variational dropout (Molchanov et al., ICML 2017).

    It learns how noisy each weight may be; those that are all noise count as zero. The checkpoint is
    written after each epoch, and when training is interrupted.

    A line per epoch shows the loss (class + weight * KL/N; where there is a teacher, its share takes the
    place of as much of class), the cross entropy (class), the KL divergence (KL/N) and its weight, the
    error in training, error and cross entropy in evaluation, each layer's sparsity, the compression and
    the seconds.
    """
    from vdprune.cli.starting import Order

    if resume and overwrite:
        raise click.UsageError("give --resume or --overwrite, not both")
    if resume and show_recipe:
        raise click.UsageError("--show-recipe is for a run that begins: leave --resume out")
    order = Order(out=out, data_root=data_root, overwrite=overwrite, **given)
    if show_recipe:
        _print_recipe(order)
        return
    run = _train(order, resume, gpu, threads, quiet)
    print_run(run, json)
    if not quiet:
        from vdprune.cli.results import warn_of_collapse

        warn_of_collapse(run.checkpoint.model.sparsity(), _advise(run.recipe))


def _advise(recipe: "Recipe") -> str:
    """Say what took a layer's last weights, and what to do about it."""
    from vdprune.kernels.constants import LOG_ALPHA_MIN

    of_kl = (
        "the KL divergence outweighed the data",
        "let the phase's kl_weight grow later or more slowly",
    )
    if recipe.threshold < LOG_ALPHA_MIN:
        return (
            f"the threshold is {recipe.threshold:g}, below all log alpha; train with a higher "
            "--threshold, as 3"
        )
    of_cuts = "the recipe's cuts took the last", "let the cuts end at a smaller compression"
    has_cuts = any(phase.cuts for phase in recipe.phases)
    has_kl = any(phase.kind == "variational" for phase in recipe.phases)
    found = [words for words, has in ((of_kl, has_kl), (of_cuts, has_cuts)) if has]
    if not found:
        return "they were cut before this run; cut less there, as with a higher --threshold"
    causes, cures = (", or ".join(words) for words in zip(*found, strict=True))
    examples = ", or train on more examples" if has_kl else ""
    return f"{causes}; {cures} (see --set and --show-recipe){examples}"


def _print_recipe(order: "Order") -> None:
    from vdprune.recipes.files import differs_by_network, format_recipe
    from vdprune.training.teaching import recipe_of_teacher

    recipe, comment = order.make_recipe(), None
    recipe_of_teacher(recipe)  # or it says why not
    if differs_by_network(order.name_of_recipe):
        comment = f"for {order.name_of_arch}; --arch shows what it is for another network"
    click.echo(format_recipe(recipe, comment), nl=False)


def _train(
    order: "Order", resume: bool, gpu: int | None, threads: int | None, quiet: bool
) -> "TrainingRun":
    from vdprune.cli.progress import Progress
    from vdprune.cli.starting import resume_run, start_run
    from vdprune.devices import get_device, gpu_errors
    from vdprune.threads import limited_threads

    device = get_device(gpu)
    with limited_threads(threads), gpu_errors(), watching_signals() as received:
        progress = Progress(quiet, lambda: bool(received))
        if not resume:
            check_checkpoint_name(order.out)
        prepare = resume_run if resume else start_run
        run = prepare(order, device, progress, received)
        how_to_go_on = how_to_resume(order.out, order.data_root, gpu, threads)
        run_to_the_end(run, progress, received, how_to_go_on)
    return run
