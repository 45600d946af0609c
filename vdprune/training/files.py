"""Names of the files that a run keeps beside its checkpoint."""

from pathlib import Path


def best_path(out: Path) -> Path:
    """Name the file that the best epoch is kept in, where there is a validation split.

    Args:
        out: The checkpoint file.

    Returns:
        ``checkpoint.best.h5`` beside ``checkpoint.h5``.
    """
    return out.with_name(f"{out.stem}.best{out.suffix}")


def teacher_path(out: Path, number: int = 0) -> Path:
    """Name the file of a teacher that is trained for a run.

    Args:
        out: The run's checkpoint.
        number: Which of its teachers, counted from 0.

    Returns:
        ``checkpoint.teacher.h5`` beside ``checkpoint.h5``, then ``checkpoint.teacher2.h5``.
    """
    return out.with_name(f"{out.stem}.teacher{number + 1 if number else ''}{out.suffix}")


def copies_path(out: Path, number: int) -> Path:
    """Name the file that changed copies of images are kept in.

    Args:
        out: The run's checkpoint.
        number: Which of the recipe's augmentations, counted from 0.

    Returns:
        ``checkpoint.copies.h5`` beside ``checkpoint.h5``, then ``checkpoint.copies2.h5``.
    """
    return out.with_name(f"{out.stem}.copies{number + 1 if number else ''}{out.suffix}")
