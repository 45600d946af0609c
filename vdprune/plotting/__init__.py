"""Pictures, drawn with matplotlib without a display."""

from vdprune.plotting.figures import check_picture, load_matplotlib, save_figure
from vdprune.plotting.history import draw_curves, draw_error_against_compression
from vdprune.plotting.sweep import draw_sweep
from vdprune.plotting.weights import draw_log_alpha, draw_mask

__all__ = [
    "check_picture",
    "draw_curves",
    "draw_error_against_compression",
    "draw_log_alpha",
    "draw_mask",
    "draw_sweep",
    "load_matplotlib",
    "save_figure",
]
