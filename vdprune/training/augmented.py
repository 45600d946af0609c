"""Batches of augmented images, with the logits of a teacher if there is one."""

from typing import Any

import numpy
from chainer.backend import Device
from chainer.dataset import Converter

from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError
from vdprune.training.batches import Rows, place, take_rows
from vdprune.training.teacher_logits import evaluate_logits
from vdprune.training.warped_copies import WarpedCopies


class AugmentedBatches(Converter):
    """Converter that augments a batch, and asks the teacher about it, when it is taken.

    Like `ArrayBatches` for an iterator that yields row numbers. Random numbers come from NumPy's global
    generator.

    Args:
        x: Images, shape (n, channels, height, width).
        t: Labels, shape (n,).
        augmentation: What is done to the images.
        teacher: The network whose logits are wanted, or None.
    """

    def __init__(
        self,
        x: numpy.ndarray,
        t: numpy.ndarray,
        augmentation: Augmentation,
        teacher: VariationalDropoutChain | None = None,
    ) -> None:
        self.x = x
        self.t = t
        self.augmentation = augmentation
        self.teacher = teacher

    def __call__(self, batch: list[int], device: Device | None = None) -> tuple[Any, ...]:
        """Take rows.

        Args:
            batch: Row numbers.
            device: Where the rows are to go; None leaves them.

        Returns:
            Images and labels; where there is a teacher, its logits for these images, too.

        Raises:
            ArgumentError: The examples are no images, or the teacher can't take them.
        """
        numbers = numpy.asarray(batch)
        x = self.augmentation.apply(take_rows(self.x, numbers), numpy.random)
        x, t = _send(device, x, take_rows(self.t, numbers))
        if self.teacher is None:
            return x, t
        return x, t, *_send(device, evaluate_logits(self.teacher, x))


class WarpedBatches(Converter):
    """Converter that puts warped copies, made before, in the place of some images.

    Like `ArrayBatches` for an iterator that yields row numbers. Random numbers come from NumPy's global
    generator.

    Args:
        x: Images, shape (n, ...).
        t: Labels, shape (n,).
        copies: Their warped copies.
        probability: Share of the images that a copy is put in the place of, 0 to 1.

    Raises:
        ArgumentError: The copies are those of other images.
    """

    def __init__(
        self, x: numpy.ndarray, t: numpy.ndarray, copies: WarpedCopies, probability: float
    ) -> None:
        if copies.images.shape[1:] != x.shape or copies.images.dtype != x.dtype:
            raise ArgumentError(
                f"the copies are of images of {copies.images.dtype} of shape {copies.images.shape[1:]}, "
                f"found {x.dtype} of shape {x.shape}: make copies of these images"
            )
        self.x = x
        self.t = t
        self.copies = copies
        self.probability = probability

    def __call__(self, batch: list[int], device: Device | None = None) -> tuple[Any, ...]:
        """Take rows.

        Args:
            batch: Row numbers.
            device: Where the rows are to go; None leaves them.

        Returns:
            Images and labels; where there was a teacher, its logits for these images, too.
        """
        numbers, copies = numpy.asarray(batch), self.copies
        is_replaced, which = self._draw(len(numbers))
        source = which[is_replaced], numbers[is_replaced]
        x = take_rows(self.x, numbers)
        x[is_replaced] = copies.images[source]
        rows = [x, take_rows(self.t, numbers)]
        if copies.logits is not None and copies.plain_logits is not None:
            logits = take_rows(copies.plain_logits, numbers)
            logits[is_replaced] = copies.logits[source]
            rows.append(logits)
        return _send(device, *rows)

    def find_rows(self, batch: Any) -> Rows:
        """Tell where the rows are that a call would take, and draw what it would draw.

        Args:
            batch: Row numbers, int64.

        Returns:
            Their places.
        """
        copies, is_replaced, which = self.copies, *self._draw(len(batch))
        copied = which * len(self.x) + batch
        examples = _choose(is_replaced, copies.images, copied, self.x, batch)
        if copies.logits is None or copies.plain_logits is None:
            return Rows(examples, batch)
        logits = _choose(is_replaced, copies.logits, copied, copies.plain_logits, batch)
        return Rows(examples, batch, logits)

    def count_rows(self) -> int:
        """Count the rows that there are all of: image, label, copies, and logits of all of them."""
        copies, plain = self.copies, self.copies.plain_logits
        if copies.logits is None or plain is None:
            return min(len(self.x), len(self.t))
        has_all = copies.logits.shape == (*copies.images.shape[:2], *plain.shape[1:])
        return min(len(self.x), len(self.t), len(plain)) if has_all else 0

    def list_sources(self) -> tuple[list[Any], Any, list[Any]]:
        """List the arrays that examples come from, labels, and a teacher's logits."""
        copies = self.copies
        has_logits = copies.logits is not None and copies.plain_logits is not None
        logits = [copies.plain_logits, copies.logits] if has_logits else []
        return [self.x, copies.images], self.t, logits

    def _draw(self, count: int) -> tuple[Any, Any]:
        """Draw which images a copy takes the place of, and which copy."""
        is_replaced = numpy.random.random_sample(count) < self.probability
        return is_replaced, numpy.random.randint(len(self.copies.images), size=count)


def _choose(is_replaced: Any, copies: Any, copied: Any, images: Any, numbers: Any) -> Any:
    """Return addresses of rows of copies, or of the images themselves."""
    flat = copies.reshape(-1, *copies.shape[2:])
    return numpy.where(is_replaced, place(flat, copied), place(images, numbers))


def _send(device: Device | None, *arrays: Any) -> tuple[Any, ...]:
    return arrays if device is None else tuple([device.send(array) for array in arrays])
