"""What is left of an image behind the convolutions of the LeNet-5s."""

from vdprune.errors import ArgumentError

_LEAST = 16


def pooled_size(arch: str, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Compute the size of an image after two 5x5 convolutions, each with 2x2 max pooling.

    Args:
        arch: The network's name, for the message.
        input_shape: Channels, height and width of an image.

    Returns:
        Height and width.

    Raises:
        ArgumentError: The image is too small, or none.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < _LEAST:
        raise ArgumentError(
            f"{arch} takes images of shape (channels, height, width), at least {_LEAST} pixels each "
            f"way; the examples have shape {tuple(input_shape)}"
        )
    # a valid convolution, then pooling that keeps a last odd pixel, twice
    height, width = ((((n - 4 + 1) // 2) - 4 + 1) // 2 for n in input_shape[1:])
    return height, width
