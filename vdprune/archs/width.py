"""Networks whose layers are all made wider or narrower by one number."""

from typing import Any

from vdprune.errors import ArgumentError

MAX_WIDTH = 8.0  # sixty-four times the weights, 3.8 GB of them in the VGG-like network
VGG_FILTERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def scale_filters(filters: int, width: Any) -> int:
    """Multiply a layer's number of filters.

    Args:
        filters: Their number at width 1.
        width: What it is multiplied by.

    Returns:
        The whole number next to the product, at least 1.

    Raises:
        ArgumentError: The width is no number above 0, or beyond what is sensible.
    """
    is_number = isinstance(width, int | float) and not isinstance(width, bool)
    if not is_number or not 0 < width <= MAX_WIDTH:
        raise ArgumentError(
            f"width is {width!r}: it must be a number above 0, at most {MAX_WIDTH:g}, as 0.5 for half "
            "the filters"
        )
    return max(1, round(filters * width))
