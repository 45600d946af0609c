"""vdprune prune."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vdprune.cli.options import (
    FILE,
    check_checkpoint_name,
    check_out,
    config_option,
    dataset_options,
    gpu_option,
    out_option,
    output_options,
    threads_option,
)
from vdprune.cli.running import (
    how_to_resume,
    print_run,
    run_to_the_end,
    tell_of_state,
    watching_signals,
)

if TYPE_CHECKING:
    from vdprune.checkpoint import Checkpoint
    from vdprune.datasets import Dataset
    from vdprune.sparsity import NetworkSparsity
    from vdprune.training.trainer import TrainingRun

_CLOSE = 0.001  # share of all weights by which a target may be missed without a word


@click.command("prune")
@click.argument("checkpoint", type=FILE, default=Path("checkpoint.h5"))
@click.option(
    "--threshold",
    type=float,
    metavar="LOG_ALPHA",
    help="Cut the weights with a log alpha above this: 3.0 is a dropout rate of 0.95.  "
    "[default: the one it was trained with]",
)
@click.option(
    "--target-sparsity",
    type=float,
    metavar="SHARE",
    help="Cut this share of all weights instead, from 0 to below 1, the noisiest first; refused if it "
    "leaves none.",
)
@click.option(
    "--finetune",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="Then train the weights that are left for so many epochs, on the labels, without noise; those "
    "that are cut stay at zero.",
)
@dataset_options(default="the one it was trained on; for --finetune")
@out_option("pruned.h5", "FILE.h5")
@gpu_option
@threads_option
@output_options
@config_option
def prune_command(
    checkpoint: Path,
    threshold: float | None,
    target_sparsity: float | None,
    finetune: int | None,
    dataset: str | None,
    data_root: Path | None,
    out: Path,
    gpu: int | None,
    threads: int | None,
    json: bool,
    quiet: bool,
) -> None:
    """Cut the weights that are nothing but noise.

    CHECKPOINT is what `vdprune train` wrote (checkpoint.h5 by default), or a pruned file, of which more
    is cut. The weights that are cut are zero in the new file; the checkpoint stays as it is.
    """
    if threshold is not None and target_sparsity is not None:
        raise click.UsageError("give --threshold or --target-sparsity, not both")
    if finetune is None and (dataset, data_root, gpu, threads) != (None,) * 4:
        raise click.UsageError(
            "--dataset, --data-root, --gpu and --threads are for --finetune: leave them out"
        )

    from vdprune import pruning
    from vdprune.cli.loading import load_checkpoint
    from vdprune.cli.results import warn_of_collapse
    from vdprune.training.files import best_path

    loaded = load_checkpoint(checkpoint)
    check_checkpoint_name(out)
    check_out(out, checkpoint)
    if finetune is not None and loaded.recipe["validation"]:
        check_out(best_path(out), checkpoint)
    if not quiet:
        tell_of_state(checkpoint, loaded)
    if target_sparsity is not None:
        threshold = pruning.threshold_for_sparsity(loaded.model, target_sparsity)
    before = loaded.model.sparsity().nonzero if loaded.pruned else None
    pruned = pruning.prune(loaded, threshold)
    if finetune is None:
        _save(pruned, checkpoint, out, json, quiet)
    else:
        data = _load_data(checkpoint, pruned, dataset, data_root)
        resume = how_to_resume(out, data_root, gpu, threads)
        run = _finetune(pruned, data, finetune, out, gpu, threads, resume, quiet)
        print_run(run, json)
    if not quiet:
        sparsity = pruned.model.sparsity()
        warn_of_collapse(
            sparsity, "cut less, with a higher --threshold or a lower --target-sparsity"
        )
        if sparsity.nonzero == sparsity.weights:
            click.echo(f"vdprune: {_why_nothing_is_cut(pruned)}", err=True)
        if before == sparsity.nonzero and threshold is not None:
            click.echo(f"vdprune: {_tell_of_earlier_cut(checkpoint, loaded.threshold)}", err=True)
        elif target_sparsity is not None:
            _tell_of_ties(sparsity, target_sparsity)


def _save(pruned: "Checkpoint", source: Path, out: Path, json: bool, quiet: bool) -> None:
    from vdprune.checkpoint import holds_run, remove_checkpoint, save_checkpoint
    from vdprune.cli.results import describe_file, print_result
    from vdprune.pruning import noise_threshold
    from vdprune.training.files import best_path

    best = best_path(out)
    is_of_training = holds_run(best)
    save_checkpoint(out, pruned)
    if not is_of_training:  # but of a fine-tuning, which is replaced
        remove_checkpoint(best)
    if not quiet:
        click.echo(f"{source} pruned into {out}", err=True)
    threshold = noise_threshold(pruned.model, pruned.threshold)
    result = describe_file(
        out, pruned.kind, pruned.arch, pruned.dataset, threshold, pruned.model.sparsity()
    )
    print_result(result, json)


def _tell_of_ties(sparsity: "NetworkSparsity", target: float) -> None:
    """Say so on standard error where a target could not be met closely."""
    from vdprune.pruning import count_left

    wanted = count_left(sparsity.weights, target)
    if wanted - sparsity.nonzero > _CLOSE * sparsity.weights:
        click.echo(
            f"vdprune: --target-sparsity {target:g} would leave {wanted:,} weights, "
            f"{sparsity.nonzero:,} are left: the others have the same log alpha, and what is "
            "equally noisy is cut together",
            err=True,
        )


def _tell_of_earlier_cut(source: Path, threshold: float) -> str:
    from vdprune.cli.results import tell_threshold

    return (
        f"nothing more is cut: {source} was pruned at {tell_threshold(threshold)} before, and "
        "what is cut stays cut; to keep more, prune the checkpoint that it was made from"
    )


def _why_nothing_is_cut(pruned: "Checkpoint") -> str:
    from vdprune.cli.results import tell_threshold
    from vdprune.pruning import knows_noise

    if knows_noise(pruned.model):
        return (
            f"no weight is cut, for none has a log alpha above {tell_threshold(pruned.threshold)}"
        )
    return (
        "no weight is cut, for the network was trained without noise: train one from it with --init, or "
        "cut weights by their magnitude with `vdprune train --method magnitude`"
    )


def _load_data(
    path: Path, checkpoint: "Checkpoint", dataset: str | None, data_root: Path | None
) -> "Dataset":
    from vdprune.cli.loading import load_its_dataset

    data = load_its_dataset(path, checkpoint.dataset, dataset, data_root)
    return data.hold_out(checkpoint.recipe["validation"])


def _finetune(
    pruned: "Checkpoint",
    data: "Dataset",
    epochs: int,
    out: Path,
    gpu: int | None,
    threads: int | None,
    how_to_go_on: str,
    quiet: bool,
) -> "TrainingRun":
    """Train what is left."""
    from vdprune.cli.progress import Progress
    from vdprune.devices import get_device, gpu_errors
    from vdprune.threads import limited_threads
    from vdprune.training.finetuning import finetuned_checkpoint
    from vdprune.training.trainer import TrainingRun

    device = get_device(gpu)
    with limited_threads(threads), gpu_errors(), watching_signals() as received:
        progress = Progress(quiet, lambda: bool(received))
        checkpoint = replace(finetuned_checkpoint(pruned, epochs), dataset=data.name)
        run = TrainingRun(checkpoint, data, out, device, progress.callbacks)
        run_to_the_end(run, progress, received, f"{how_to_go_on}, which finishes the fine-tuning")
    return run
