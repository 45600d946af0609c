"""Opens any of our files.

What needs Chainer is imported where it is needed: weight files don't, and importing it takes longest.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError, DatasetError, FileFormatError
from vdprune.formats import Weights, is_weight_file, load_weights
from vdprune.formats.weights import FORMAT as WEIGHTS_FORMAT
from vdprune.formats.weights import FORMAT_VERSION as WEIGHTS_VERSION
from vdprune.hdf5 import CHECKPOINT, CHECKPOINT_VERSION, check_regular, open_h5
from vdprune.recipes.tables import from_table
from vdprune.sparsity import NetworkSparsity

if TYPE_CHECKING:
    from vdprune.checkpoint import Checkpoint, History

_COLUMNS = (
    *("epoch", "iteration", "class", "kl", "kl_coef", "train_error"),
    *("error", "sparsity", "compression", "seconds"),
)  # of a history, which commands read


@dataclass(frozen=True)
class LoadedFile:
    """A network out of a checkpoint, a pruned one or a weight file.

    Args:
        kind: checkpoint, pruned, weights or compact weights.
        model: The network; None if it was not asked for and the file is a weight file.
        arch: Its name.
        dataset: What it was trained on.
        threshold: Log alpha above which its weights are zero; None where it was trained without noise.
        sparsity: Its counts.
        recipe: How it was trained, by the names of the recipe's fields; empty if unknown.
        history: A row for each epoch of that; empty if unknown.
        earlier_recipes: Those that its epochs before were trained by, likewise.
        preparation: Seconds that went to a teacher and to warped images before them.
        run_epochs: Epochs that are done of the run whose state it holds; None where there is none to go
            on with.
        weights: What a weight file holds; None for others.
    """

    kind: str
    model: Any
    arch: str
    dataset: str
    threshold: float | None
    sparsity: NetworkSparsity
    recipe: dict[str, Any] = field(default_factory=dict)
    history: "History" = field(default_factory=list)
    earlier_recipes: list[dict[str, Any]] = field(default_factory=list)
    preparation: float = 0.0
    run_epochs: int | None = None
    weights: Weights | None = None

    @property
    def epochs_done(self) -> int:
        """Epochs of the recipe that are done; those of earlier ones are not counted."""
        from vdprune.checkpoint import count_epochs_of_last_run

        if self.run_epochs is not None:  # perhaps 0, which the history does not tell
            return self.run_epochs
        return count_epochs_of_last_run(self.history)


def load_any(path: Path, needs_model: bool = True) -> LoadedFile:
    """Open a file of ours, whatever it is.

    Args:
        path: The file.
        needs_model: Whether a weight file is made into a Chainer model.

    Returns:
        What it holds.

    Raises:
        FileFormatError: It is missing, damaged or not ours.
        ArgumentError: It can't be made into a Chainer model.
    """
    if _format_of(path) == WEIGHTS_FORMAT:
        weights = load_weights(path)
        header = weights.header
        return LoadedFile(
            "compact weights" if header.get("compact") else "weights",
            _build_chain(weights) if needs_model else None,
            header["arch"],
            header["dataset"],
            header["threshold"],
            weights.sparsity(),
            weights=weights,
        )
    from vdprune.checkpoint import count_epochs
    from vdprune.pruning import noise_threshold

    loaded = load_checkpoint(path)
    return LoadedFile(
        loaded.kind,
        loaded.model,
        loaded.arch,
        loaded.dataset,
        noise_threshold(loaded.model, loaded.threshold),
        loaded.model.sparsity(),
        loaded.recipe,
        loaded.history,
        loaded.earlier_recipes,
        loaded.preparation,
        count_epochs(path),
    )


def load_as_weights(path: Path) -> Weights:
    """Open any file of ours for inference.

    Args:
        path: The file.

    Returns:
        What is in a weight file, or what would be in that of a checkpoint.

    Raises:
        FileFormatError: It is missing, damaged or not ours.
    """
    if _format_of(path) == WEIGHTS_FORMAT:
        return load_weights(path)
    from vdprune.export.collecting import collect_checkpoint

    return collect_checkpoint(load_checkpoint(path))


def load_checkpoint(path: Path) -> "Checkpoint":
    """Open a checkpoint, with a hint where another file of ours is given instead.

    Args:
        path: The file.

    Returns:
        The checkpoint.

    Raises:
        FileFormatError: It is missing, damaged or not a checkpoint.
    """
    _check_there(path)
    if not _is_hdf5(path) and not is_weight_file(path):
        raise FileFormatError(
            f"{path} is not an HDF5 file: a checkpoint is wanted, as `vdprune train` writes it"
        )
    if _format_of(path) == WEIGHTS_FORMAT:
        load_weights(path)  # says so if it is none
        raise FileFormatError(
            f"{path} is an exported weight file, which no longer knows its weights' noise: give the "
            "checkpoint, or the pruned file, that it was made from; `vdprune convert` turns it into "
            "another format"
        )
    from vdprune.checkpoint import load_checkpoint as load

    loaded = load(path)
    try:
        from_table(loaded.recipe)
    except (ArgumentError, TypeError) as error:
        raise FileFormatError(f"{path} is damaged: {error}; use another copy") from error
    missing = [name for name in _COLUMNS if loaded.history and name not in loaded.history[0]]
    if missing:
        raise FileFormatError(
            f"{path} is damaged: its history has no {', '.join(missing)}; use another copy"
        )
    return loaded


def load_its_dataset(path: Path, stored: str, given: str | None, data_root: Path | None) -> Dataset:
    """Load the data set that a network was trained on, or the one that is given instead.

    Args:
        path: The network's file, for the message.
        stored: The data set that the file names.
        given: The one that the user names, or None.
        data_root: See `load_dataset`.

    Returns:
        The data set.

    Raises:
        DatasetError: It can't be loaded.
    """
    if given is not None:
        return load_dataset(given, data_root)
    if not stored:
        raise DatasetError(f"{path} does not say what it was trained on: give it with --dataset")
    try:
        return load_dataset(stored, data_root)
    except DatasetError as error:
        raise DatasetError(
            f"{error} ({path} names that data set; give it with --dataset if it has moved)"
        ) from error


def _build_chain(weights: Weights) -> Any:
    from vdprune.export import build_chain

    return build_chain(weights)


def _check_there(path: Path) -> None:
    check_regular(path)
    if not path.is_file():
        raise FileFormatError(
            f"there is no file {str(path)!r}: `vdprune train` writes checkpoint.h5, `vdprune prune` "
            "pruned.h5, `vdprune export` weights.h5; give another one by its name"
        )
    if not path.stat().st_size:
        raise FileFormatError(f"{path} is empty: use another copy")


def _format_of(path: Path) -> str:
    _check_there(path)
    if is_weight_file(path):
        return WEIGHTS_FORMAT
    if not _is_hdf5(path):
        raise FileFormatError(
            f"{path} is no file that vdprune reads: a file of `vdprune train`, `vdprune prune` or "
            "`vdprune export` is wanted; ONNX and C files can only be written"
        )
    kinds = {CHECKPOINT: CHECKPOINT_VERSION, WEIGHTS_FORMAT: WEIGHTS_VERSION}
    with open_h5(path, kinds) as file:
        return str(file.attrs["format"])


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x89HDF"
