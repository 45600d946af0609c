"""The numbers in the formulas of Molchanov et al., ICML 2017, as in the authors' code."""

K1 = 0.63576
K2 = 1.87320
K3 = 1.48695
LOG_ALPHA_MIN = -8.0
LOG_ALPHA_MAX = 8.0
EPSILON = 1e-8  # keeps the logarithm of a weight of zero and the root of a variance of zero tame
TILE_ROWS = 6  # that a product is computed by: see vdprune/kernels/products.py
PANEL_BYTES = 64  # of a row of a panel: see vdprune/kernels/products.py
STOPPED = 2**60  # a meeting's count when nobody is to wait any more: see vdprune/kernels/waiting.py
