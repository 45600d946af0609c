"""How rows of outputs are ordered where all images of a filter lie together."""

from typing import Any


class FiltersFirst:
    """Mixed into ways to compute a convolution.

    Attributes:
        pixels: Height times width of an output.
    """

    pixels: int

    def steps(self, images: int) -> tuple[int, int]:
        """Tell how rows of outputs are ordered."""
        return images, 1

    def images_first(self, rows: Any, images: int) -> Any:
        """Order rows of outputs as a layer does, shape (images, filters, pixels)."""
        return rows.reshape(-1, images, self.pixels).transpose(1, 0, 2)

    def images_first_back(self, y: Any) -> Any:
        """Take back what `images_first` ordered."""
        return y.transpose(1, 0, 2).reshape(-1, self.pixels)
