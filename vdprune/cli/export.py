"""vdprune export."""

from pathlib import Path

import click

from vdprune.cli.options import FILE, check_out, config_option, out_option, output_options


@click.command("export")
@click.argument("checkpoint", type=FILE, default=Path("pruned.h5"))
@click.option(
    "--format",
    type=click.Choice(["csr", "dense"]),
    default="csr",
    show_default=True,
    help="csr: compressed sparse rows, zeros not stored; dense: arrays with their zeros.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="float16 takes half the bytes and has 11 significant bits.",
)
@out_option("weights.h5", "FILE", "Its ending, .h5 or .npz, says what it becomes.")
@output_options
@config_option
def export_command(
    checkpoint: Path, format: str, dtype: str, out: Path, json: bool, quiet: bool
) -> None:
    """Write a pruned network to a small file that other programs open.

    CHECKPOINT is what `vdprune prune` wrote (pruned.h5 by default). An .h5 file with csr weights gives a
    scipy.sparse matrix through anndata.io.read_elem; README.md shows how to read it with h5py
    alone.
    """
    from vdprune.cli.loading import load_checkpoint
    from vdprune.cli.results import describe_file, print_result
    from vdprune.export import export_weights

    loaded = load_checkpoint(checkpoint)
    check_out(out, checkpoint)
    if not loaded.pruned and not quiet:
        click.echo(
            f"{checkpoint} is not pruned: its weights are cut at the threshold that it was trained "
            f"with, log alpha {loaded.threshold:g}",
            err=True,
        )
    weights = export_weights(loaded, out, format, dtype)
    sparsity = weights.sparsity()
    size = out.stat().st_size
    dense = 4 * (
        sum(W.size for W in weights.weights.values())
        + sum(array.size for array in weights.others.values())
    )
    result = describe_file(out, "weights", loaded.arch, loaded.dataset, loaded.threshold, sparsity)
    result.update({"format": format, "dtype": dtype, "bytes": size, "dense_bytes": dense})
    print_result(result, json)
    if not json:
        click.echo(
            f"{out}: {size:,} bytes; the same arrays dense in float32: {dense:,} bytes "
            f"({dense / size:.1f} times as much)"
        )
