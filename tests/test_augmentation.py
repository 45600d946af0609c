from dataclasses import replace
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from scipy import ndimage

from vdprune.augmentation import Augmentation
from vdprune.errors import ArgumentError

AUGMENTATIONS = st.builds(
    Augmentation,
    probability=st.floats(0, 1),
    rotation=st.floats(0, 180),
    shift=st.floats(0, 2),
    scale=st.floats(0, 0.9),
    shear=st.floats(0, 1),
    flip=st.booleans(),
    crop=st.integers(0, 2),
    elastic=st.floats(0, 3),
    elastic_sigma=st.floats(0, 9),
)
MUCH = Augmentation(
    rotation=20, shift=2.5, scale=0.2, shear=0.2, flip=True, crop=1, elastic=1.5, elastic_sigma=2
)


class Largest:
    """In the place of random numbers: the largest of each range; every image is chosen and mirrored."""

    def uniform(self, low: float, high: float, size: Any) -> numpy.ndarray:
        return numpy.full(size, high)

    def randint(self, low: int, high: int, size: Any) -> numpy.ndarray:
        return numpy.full(size, high - 1)

    def random_sample(self, size: Any) -> numpy.ndarray:
        return numpy.zeros(size)


def make_images(shape: tuple[int, ...] = (3, 2, 9, 12), dtype: str = "f8") -> numpy.ndarray:
    images = RandomState(1).uniform(0, 255, shape)
    return numpy.rint(images).astype(dtype) if dtype == "u1" else images.astype(dtype)


@settings(deadline=None)
@given(
    augmentation=AUGMENTATIONS,
    dtype=st.sampled_from(["u1", "f4", "f8"]),
    n=st.integers(0, 3),
    channels=st.integers(1, 3),
    height=st.integers(5, 8),
    width=st.integers(5, 8),
)
def test_shape_dtype_and_range_stay(
    augmentation: Augmentation, dtype: str, n: int, channels: int, height: int, width: int
) -> None:
    images = make_images((n, channels, height, width), dtype)
    before = images.copy()
    changed = augmentation.apply(images, RandomState(2))
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert not numpy.shares_memory(changed, images)
    numpy.testing.assert_array_equal(images, before)
    if n:
        assert changed.min() >= 0
        assert changed.max() <= images.max() * (1 + 1e-6)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(probability=0.0, rotation=30, crop=3)]
)
def test_nothing_changes_nothing(augmentation: Augmentation, dtype: str) -> None:
    images = make_images(dtype=dtype)
    assert not augmentation.changes_images
    numpy.testing.assert_array_equal(augmentation.apply(images, RandomState(0)), images)


@pytest.mark.parametrize("name", ["rotation", "shift", "scale", "shear", "crop", "flip", "elastic"])
def test_each_way_alone_changes_images(name: str) -> None:
    augmentation = Augmentation(**{name: True if name == "flip" else 1 if name == "crop" else 0.5})
    assert augmentation.changes_images
    images = make_images((10, 1, 6, 6))
    assert (augmentation.apply(images, RandomState(1)) != images).any()


def test_says_what_happens() -> None:
    some = Augmentation(probability=0.6, rotation=6, shift=0.8, scale=0.06, elastic=0)
    assert some.describe() == (
        "60 % of the images are turned by up to 6 degrees, moved by up to 0.8 pixels, "
        "scaled by up to 6 %"
    )
    others = Augmentation(shear=0.1, flip=True, crop=4, elastic=1.5)
    assert others.describe() == (
        "100 % of the images are sheared by up to 0.1, mirrored or not, cut out of a frame of 4 pixels, "
        "deformed by up to 1.5 pixels"
    )
    assert Augmentation(probability=0, flip=True).describe() == ""


def test_a_turn_is_scipys() -> None:
    images = make_images()
    expected = ndimage.rotate(images, 30, axes=(3, 2), reshape=False, order=1, mode="grid-constant")
    found = Augmentation(rotation=30).apply(images, Largest())
    numpy.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_shift_is_scipys() -> None:
    images = make_images()
    expected = ndimage.shift(images, (0, 0, 1.6, 1.6), order=1, mode="grid-constant")
    found = Augmentation(shift=1.6).apply(images, Largest())
    numpy.testing.assert_allclose(found, expected, atol=1e-9)


def test_larger_and_smaller() -> None:
    """A square in the middle of an image, half as large again, stays there."""
    images = numpy.zeros((1, 1, 41, 41))
    images[0, 0, 15:26, 15:26] = 1
    larger = Augmentation(scale=0.5).apply(images, Largest())
    assert larger.sum() == pytest.approx(1.5**2 * images.sum(), rel=0.05)
    assert ndimage.center_of_mass(larger[0, 0]) == pytest.approx((20, 20))


def test_a_shear_moves_rows_sideways() -> None:
    images = numpy.zeros((1, 1, 5, 9))
    images[0, 0, :, 4] = 1
    (columns,) = Augmentation(shear=1).apply(images, Largest()).argmax(axis=3)
    assert columns.tolist() == [[2, 3, 4, 5, 6]]


def test_all_at_once_is_one_after_the_other() -> None:
    """Mirror, shear, rotation, scale and shift, in this order: a spot goes where each puts it."""
    images = numpy.zeros((1, 1, 61, 61))
    images[0, 0, 22, 37] = 1
    images = ndimage.gaussian_filter(images, (0, 0, 3, 3))
    ways: list[dict[str, Any]] = [
        {"flip": True},
        {"shear": 0.3},
        {"rotation": 25.0},
        {"scale": 0.2},
        {"shift": 4.0},
        {"crop": 3},
    ]
    expected = images
    for way in ways:
        expected = Augmentation(**way).apply(expected, Largest())
    together = {name: value for way in ways for name, value in way.items()}
    found = Augmentation(**together).apply(images, Largest())
    numpy.testing.assert_allclose(found, expected, atol=0.05 * images.max())


class OneDisplacement(Largest):
    """Numbers that are all the same: filtered, too, and so displacements of one size everywhere."""

    def standard_normal(self, size: Any) -> numpy.ndarray:
        return numpy.full(size, 0.5)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 5.0])
def test_displacements_say_where_a_pixel_is_from(sigma: float) -> None:
    """Where all are the same an image is moved; the shift is against it."""
    images = make_images((2, 2, 10, 11))
    augmentation = Augmentation(elastic=3, elastic_sigma=sigma)
    (distance, *_) = next(augmentation._draw_displacements(images.shape, OneDisplacement())).flat
    expected = ndimage.shift(images, (0, 0, -distance, -distance), order=1, mode="grid-constant")
    found = augmentation.apply(images, OneDisplacement())
    assert distance > 1
    numpy.testing.assert_allclose(found, expected, atol=1e-9)


def test_all_is_one_map_with_displacements_added_to_it() -> None:
    images = make_images((6, 2, 9, 12))
    rest = replace(MUCH, elastic=0.0)
    random = RandomState(3)
    random.random_sample(6)
    matrices, offsets = rest._draw_warps(images.shape, random)
    displacements = list(MUCH._draw_displacements(images.shape, random))
    found = MUCH.apply(images, RandomState(3))
    for n in range(6):
        for i, j in ((0, 0), (4, 7), (8, 11)):
            place = matrices[n] @ (i, j) + offsets[n] + displacements[n][:, i, j]
            for channel in range(2):
                expected = ndimage.map_coordinates(
                    images[n, channel], place[:, None], order=1, mode="grid-constant"
                )
                numpy.testing.assert_allclose(found[n, channel, i, j], expected[0], atol=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 0.4, 2.0, 6.0, 60.0])
@pytest.mark.parametrize("size", [(28, 28), (10, 17)])
def test_displacements_are_as_large_as_is_said(size: tuple[int, int], sigma: float) -> None:
    """Drawn between 0 and 1.5: the mean square is a third of the largest, everywhere alike."""
    augmentation = Augmentation(elastic=1.5, elastic_sigma=sigma)
    drawn = numpy.stack(list(augmentation._draw_displacements((4000, 1, *size), RandomState(0))))
    assert drawn.shape == (4000, 2, *size)
    numpy.testing.assert_allclose((drawn**2).mean(axis=0), 1.5**2 / 3, rtol=0.2)
    assert (drawn**2).mean() == pytest.approx(1.5**2 / 3, rel=0.1)


def test_displacements_are_as_smooth_as_is_said() -> None:
    """Neighbours under a Gaussian filter: their correlation is exp(-distance^2 / (4 sigma^2))."""
    drawn = Augmentation(elastic=1, elastic_sigma=3)._draw_displacements(
        (1500, 1, 40, 40), RandomState(0)
    )
    field = numpy.stack(list(drawn))
    for distance in (1, 3, 6):
        shifted = numpy.roll(field, distance, axis=3)
        correlation = (field * shifted).mean() / (field**2).mean()
        assert correlation == pytest.approx(numpy.exp(-(distance**2) / 36), abs=0.02)


def test_without_elastic_deformation_nothing_more_is_drawn() -> None:
    a, b = RandomState(0), RandomState(0)
    Augmentation(rotation=3).apply(make_images((20, 1, 6, 6)), a)
    b.random_sample(20)
    Augmentation(rotation=3)._draw_warps((20, 1, 6, 6), b)
    assert a.random_sample() == b.random_sample()


def test_crop_and_pad_cuts_the_padded_image() -> None:
    images = make_images((200, 1, 6, 7), "u1")
    padded = numpy.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    places = set()
    for image, found in zip(
        padded, Augmentation(crop=2).apply(images, RandomState(0)), strict=True
    ):
        cuts = {(i, j): image[:, i : i + 6, j : j + 7] for i in range(5) for j in range(5)}
        (place,) = [place for place, cut in cuts.items() if numpy.array_equal(cut, found)]
        places.add(place)
    assert len(places) == 25


def test_every_other_image_is_mirrored() -> None:
    images = make_images((400, 1, 5, 6), "f4")
    changed = Augmentation(flip=True).apply(images, RandomState(0))
    is_mirrored = (changed == images[..., ::-1]).all(axis=(1, 2, 3))
    is_same = (changed == images).all(axis=(1, 2, 3))
    assert (is_mirrored ^ is_same).all()
    assert 150 < is_mirrored.sum() < 250


def test_probability_is_the_share_that_changes() -> None:
    images = make_images((1000, 1, 5, 5), "f4")
    changed = Augmentation(probability=0.3, rotation=40).apply(images, RandomState(0))
    assert 250 < (changed != images).any(axis=(1, 2, 3)).sum() < 350


def test_channels_go_together() -> None:
    images = make_images((20, 1, 8, 8)).repeat(3, axis=1)
    changed = MUCH.apply(images, RandomState(0))
    numpy.testing.assert_array_equal(changed[:, 0], changed[:, 2])


def test_bytes_are_rounded() -> None:
    images = make_images((50, 1, 8, 8), "u1")
    exact = MUCH.apply(images.astype("f8"), RandomState(0))
    found = MUCH.apply(images, RandomState(0))
    numpy.testing.assert_allclose(found, exact, atol=0.5 + 1e-9)


def test_random_numbers_decide() -> None:
    images = make_images((50, 1, 8, 8))
    numpy.random.seed(5)
    found = MUCH.apply(images, numpy.random)
    numpy.testing.assert_array_equal(found, MUCH.apply(images, RandomState(5)))
    assert (found != MUCH.apply(images, RandomState(6))).any()


def test_an_image_changes_in_the_same_way_whatever_the_others_are() -> None:
    images = make_images((50, 1, 8, 8))
    others = images.copy()
    others[1:] = 0
    a, b = (MUCH.apply(x, RandomState(5)) for x in (images, others))
    numpy.testing.assert_array_equal(a[0], b[0])


NAMES = [
    "probability",
    "rotation",
    "shift",
    "scale",
    "shear",
    "crop",
    "elastic",
    "elastic_sigma",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", [-1, float("nan"), float("inf"), 10**400, "1", None, True, [1], 1j]
)
def test_numbers_without_a_meaning(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is .*it must be a (whole )?number between 0"):
        Augmentation(**{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probability": 1.01}, "between 0 and 1"),
        ({"rotation": 181}, "between 0 and 180"),
        ({"scale": 1}, "must be below 1"),
        ({"shear": 1.5}, "between 0 and 1"),
        ({"crop": 1.5}, "a whole number"),
        ({"elastic_sigma": 101}, "between 0 and 100"),
        ({"flip": 1}, "flip is 1: it must be true or false"),
    ],
)
def test_beyond_the_limits(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**values)


def test_numbers_are_the_same_however_they_are_spelled() -> None:
    a = Augmentation(rotation=6, crop=numpy.int64(2), flip=numpy.True_, shift=numpy.float32(0.5))
    assert repr(a) == repr(Augmentation(rotation=6.0, crop=2, flip=True, shift=0.5))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (numpy.zeros((5, 64), "u1"), r"for images.*found shape \(5, 64\)"),
        (numpy.zeros((5, 8, 8), "u1"), "for images"),
        (numpy.zeros((5, 1, 8, 8), "i8"), "of int64: convert"),
        (numpy.zeros((5, 1, 8, 8), "f2"), "of float16"),
        ([[[[1.0]]]], "of list"),
        (numpy.zeros((5, 1, 9, 3), "u1"), "images of 9 x 3 pixels out of sight"),
    ],
)
def test_not_images_that_it_can_change(images: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Augmentation(shift=1.5, crop=2).apply(images, RandomState(0))
