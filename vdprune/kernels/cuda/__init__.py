"""What a training step does to each weight and activation on a GPU, in few launches of CuPy kernels.

They are what the kernels for the CPU are, their names too. A kernel's text is compiled when it is first
called and kept on disk by CuPy. Arrays are contiguous and of one dtype, float32 or float64, and on the
current device. Nothing here waits for the device. Numbers of float32 below 1e-38 may count as 0.
"""

from vdprune.kernels.cuda.activations import combine, lay_out, part_gradients, sample, scale
from vdprune.kernels.cuda.losses import add_up, cross_entropy, joint_objective, note_non_finite
from vdprune.kernels.cuda.noise import normals
from vdprune.kernels.cuda.pixels import fold, part_pixel_gradients, sample_pixels, unfold
from vdprune.kernels.cuda.weights import adam, weight_gradients, weight_moments

__all__ = [
    "adam",
    "add_up",
    "combine",
    "cross_entropy",
    "fold",
    "joint_objective",
    "lay_out",
    "normals",
    "note_non_finite",
    "part_gradients",
    "part_pixel_gradients",
    "sample",
    "sample_pixels",
    "scale",
    "unfold",
    "weight_gradients",
    "weight_moments",
]
