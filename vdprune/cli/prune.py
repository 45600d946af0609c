"""vdprune prune."""

from pathlib import Path

import click

from vdprune.cli.options import (
    FILE,
    check_checkpoint_name,
    check_out,
    config_option,
    out_option,
    output_options,
)


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
    help="Cut this share of all weights instead, from 0 to below 1, the noisiest first.",
)
@out_option("pruned.h5", "FILE.h5")
@output_options
@config_option
def prune_command(
    checkpoint: Path,
    threshold: float | None,
    target_sparsity: float | None,
    out: Path,
    json: bool,
    quiet: bool,
) -> None:
    """Cut the weights that are nothing but noise.

    CHECKPOINT is what `vdprune train` wrote (checkpoint.h5 by default). The weights that are cut are
    zero in the new file; the checkpoint stays as it is.
    """
    if threshold is not None and target_sparsity is not None:
        raise click.UsageError("give --threshold or --target-sparsity, not both")

    from vdprune import pruning
    from vdprune.checkpoint import save_checkpoint
    from vdprune.cli.loading import load_checkpoint
    from vdprune.cli.results import describe_file, print_result, warn_of_collapse

    loaded = load_checkpoint(checkpoint)
    check_checkpoint_name(out)
    check_out(out, checkpoint)
    if target_sparsity is not None:
        threshold = pruning.threshold_for_sparsity(loaded.model, target_sparsity)
    if threshold is None:
        threshold = loaded.threshold
    pruned = pruning.prune(loaded, threshold)
    save_checkpoint(out, pruned)
    if not quiet:
        click.echo(f"{checkpoint} pruned into {out}", err=True)
    sparsity = pruned.model.sparsity()
    result = describe_file(
        out, pruned.kind, pruned.arch, pruned.dataset, pruned.threshold, sparsity
    )
    print_result(result, json)
    if not quiet:
        warn_of_collapse(sparsity, "cut less")
