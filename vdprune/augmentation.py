"""Augmentation: images turned, moved, scaled, sheared, mirrored and deformed at random."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import repeat
from numbers import Integral, Real
from typing import Any

import numpy
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from vdprune.errors import ArgumentError

_DTYPES = ("uint8", "float32", "float64")
_MOST = {"probability": 1, "rotation": 180, "scale": 1, "shear": 1, "elastic_sigma": 100}
_MOST_PIXELS = 1_000_000
_BLOCK = 500  # images whose displacements are drawn together


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image, each independently of the others; nothing by default.

    Distances are in pixels, and what comes in from outside an image is 0.

    Args:
        probability: Share of the images that is changed at all, 0 to 1.
        rotation: Largest angle about the centre, in degrees, either way.
        shift: Largest distance, along both axes, either way; fractions of a pixel are interpolated.
        scale: Largest relative change of size, below 1: 0.1 for 90 to 110 %.
        shear: Largest sideways distance per row, either way, up to 1.
        flip: Whether every other image is mirrored left to right.
        crop: Width of a frame of zeros, out of which the image's size is cut at random: a shift by
            whole pixels.
        elastic: Largest root mean square of the displacements of an elastic deformation, along each
            axis: an image's is drawn between 0 and this, and expected, for its displacements are
            random, too.
        elastic_sigma: How smooth those are: standard deviation of the Gaussian that they are filtered
            with. With much of an image's size, as a third, they are a shift of the whole.

    Raises:
        ArgumentError: A number has no meaning.

    Source: the elastic deformation, Simard, Steinkraus and Platt, "Best practices for convolutional
    neural networks applied to visual document analysis", ICDAR 2003, section 2.
    """

    probability: float = 1.0
    rotation: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    flip: bool = False
    crop: int = 0
    elastic: float = 0.0
    elastic_sigma: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _as_kind(field.name, getattr(self, field.name), type(field.default))
            object.__setattr__(self, field.name, value)

    @property
    def changes_images(self) -> bool:
        """Whether it does anything."""
        return self.probability > 0 and any(size for size, _ in self._ways())

    def describe(self) -> str:
        """Tell what happens to images in words.

        Returns:
            A part of a line; empty if nothing happens.
        """
        if not self.changes_images:
            return ""
        told = ", ".join(words for size, words in self._ways() if size)
        return f"{100 * self.probability:g} % of the images are {told}"

    def _ways(self) -> list[tuple[float, str]]:
        return [
            (self.rotation, f"turned by up to {self.rotation:g} degrees"),
            (self.shift, f"moved by up to {self.shift:g} pixels"),
            (self.scale, f"scaled by up to {100 * self.scale:g} %"),
            (self.shear, f"sheared by up to {self.shear:g}"),
            (self.flip, "mirrored or not"),
            (self.crop, f"cut out of a frame of {self.crop} pixels"),
            (self.elastic, f"deformed by up to {self.elastic:g} pixels"),
        ]

    def apply(self, images: numpy.ndarray, random: Any) -> numpy.ndarray:
        """Change images, each in its own way.

        Args:
            images: Shape (n, channels, height, width), uint8, float32 or float64.
            random: A `numpy.random.RandomState`, or the module ``numpy.random`` for the global one. How
                many numbers are drawn depends on the shape, and on whether ``elastic`` is 0, alone.

        Returns:
            New images of the same shape and dtype, interpolated linearly; bytes are rounded.

        Raises:
            ArgumentError: They are no images, or smaller than they may be moved by.
        """
        self._check_images(images)
        is_changed = random.random_sample(len(images)) < self.probability
        matrices, offsets = self._draw_warps(images.shape, random)
        changed = images.copy()
        if self.changes_images:
            displacements = self._draw_displacements(images.shape, random)
            warps = zip(is_changed, images, changed, matrices, offsets, displacements, strict=True)
            for is_wanted, image, output, *warp in warps:
                if is_wanted:
                    _warp(image, output, *warp)
        return changed

    def _draw_warps(
        self, shape: tuple[int, ...], random: Any
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Draw the maps (row, column) -> matrix @ (row, column) + offset to where a pixel is from.

        Each is the inverse of mirror, shear, rotation, scale and shift, in this order.
        """
        n, _, height, width = shape
        angle = numpy.radians(random.uniform(-self.rotation, self.rotation, n))
        scale = 1 + random.uniform(-self.scale, self.scale, n)
        shear = random.uniform(-self.shear, self.shear, n)
        shift = random.uniform(-self.shift, self.shift, (n, 2))
        shift += random.randint(-self.crop, self.crop + 1, (n, 2))
        is_mirrored = (random.random_sample(n) < 0.5) & self.flip
        cos, sin = numpy.cos(angle) / scale, numpy.sin(angle) / scale
        matrices = numpy.empty((n, 2, 2))
        matrices[:, 0, 0], matrices[:, 0, 1] = cos, sin
        matrices[:, 1, 0], matrices[:, 1, 1] = -sin - shear * cos, cos - shear * sin
        matrices[is_mirrored, 1] *= -1
        centre = numpy.array([height - 1, width - 1]) / 2
        offsets = centre - (matrices * (centre + shift)[:, None, :]).sum(axis=2)
        return matrices, offsets

    def _draw_displacements(
        self, shape: tuple[int, ...], random: Any
    ) -> Iterator[numpy.ndarray | None]:
        """Draw what is added to the places where pixels are from; None for nothing."""
        n, _, *size = shape
        if not self.elastic:
            yield from repeat(None, n)
            return
        sigmas = (0, 0, self.elastic_sigma, self.elastic_sigma)
        deviation = _deviation_of_filtered(size, self.elastic_sigma)
        for first in range(0, n, _BLOCK):
            count = min(_BLOCK, n - first)
            wanted = random.uniform(0, self.elastic, (count, 1, 1, 1))
            noise = random.standard_normal((count, 2, *size))
            # Filtered around the edges it is as strong there as in the middle.
            yield from gaussian_filter(noise, sigmas, mode="wrap") * (wanted / deviation)

    def _check_images(self, images: numpy.ndarray) -> None:
        if not isinstance(images, numpy.ndarray) or images.dtype not in _DTYPES:
            kind = getattr(images, "dtype", type(images).__name__)
            raise ArgumentError(
                f"augmentation takes NumPy arrays of {', '.join(_DTYPES)}, not of {kind}: convert them"
            )
        if images.ndim != 4:
            raise ArgumentError(
                f"augmentation is for images, (n, channels, height, width): found shape {images.shape}; "
                "reshape the data, or train without augmentation"
            )
        if self.shift + self.crop >= min(images.shape[2:]):
            raise ArgumentError(
                f"shift {self.shift:g} and crop {self.crop} move images of {images.shape[2]} x "
                f"{images.shape[3]} pixels out of sight: their sum must be below the smaller side"
            )


def _warp(
    image: numpy.ndarray,
    output: numpy.ndarray,
    matrix: numpy.ndarray,
    offset: numpy.ndarray,
    displacement: numpy.ndarray | None,
) -> None:
    """Fill each pixel from where matrix @ pixel + offset + displacement is, interpolated linearly."""
    how: dict[str, Any] = {"order": 1, "mode": "grid-constant"}
    if displacement is None:
        for channel, target in zip(image, output, strict=True):
            affine_transform(channel, matrix, offset, output=target, **how)
        return
    pixels = numpy.indices(image.shape[1:]).reshape(2, -1)
    places = (matrix @ pixels + offset[:, None]).reshape(displacement.shape) + displacement
    for channel, target in zip(image, output, strict=True):
        map_coordinates(channel, places, output=target, **how)


def _deviation_of_filtered(size: list[int], sigma: float) -> float:
    """Standard deviation of independent normal numbers after the Gaussian filter."""
    spot = numpy.zeros(size)
    spot[0, 0] = 1
    return float(numpy.linalg.norm(gaussian_filter(spot, sigma, mode="wrap")))


def _as_kind(name: str, value: Any, kind: type) -> bool | int | float:
    """Check a field and make it a plain bool, int or float, however it was spelled."""
    if kind is bool:
        if not isinstance(value, bool | numpy.bool_):
            raise ArgumentError(f"{name} is {value!r}: it must be true or false")
        return bool(value)
    wanted, words = (Integral, "a whole number") if kind is int else (Real, "a number")
    most = _MOST.get(name, _MOST_PIXELS)
    if not isinstance(value, wanted) or isinstance(value, bool) or not 0 <= value <= most:  # type: ignore[operator]
        raise ArgumentError(f"{name} is {value!r}: it must be {words} between 0 and {most:,}")
    if name == "scale" and value == 1:
        raise ArgumentError("scale is 1: it must be below 1, or an image may vanish")
    return int(value) if kind is int else float(value)  # type: ignore[call-overload]
