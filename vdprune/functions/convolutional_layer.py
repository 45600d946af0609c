"""What a convolution with noisy weights is besides a layer, wherever it is computed."""

from typing import Any

from vdprune.functions.geometry import Geometry
from vdprune.functions.variational_layer import VariationalLayer


class ConvolutionalLayer(VariationalLayer):
    """Mixed in before the layer of a device.

    Args:
        geometry: Stride, padding and dilation, pairs.
        groups: Number of groups of channels.
        out_size: Height and width of the outputs.
        *settings: Those of `VariationalLayer`.
    """

    def __init__(
        self, geometry: Geometry, groups: int, out_size: tuple[int, int], *settings: Any
    ) -> None:
        super().__init__(*settings)
        self.geometry = geometry
        self.groups = groups
        self.out_size = out_size
