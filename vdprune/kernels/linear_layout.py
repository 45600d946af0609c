"""How the kernels of linear layers are told of the layers: a row of int64 and one of float64 for each."""

# Numbers.
INPUTS, OUTPUTS, ALL_INPUTS, ALL_OUTPUTS, HAS_RELU, MASKS_VARIANCE, KEY0, KEY1 = range(8)
# Addresses of what the layer is made of: 0 for no biases, and for draws that are new.
WEIGHTS, LOG_SIGMA2, BIASES, INPUT_NUMBERS, OUTPUT_NUMBERS, NOISE = range(8, 14)
# Addresses of what is computed on the way forward, and for the way back.
(
    FACTOR,
    SQUARES,
    ALPHA,
    SLOPE,
    SLOPES,
    RESULT,
    G_RESULT,
    G_MEAN,
    G_VARIANCE,
    COLUMNS,
    SQUARED_COLUMNS,
    G_INPUTS,
) = range(14, 26)
# Addresses of gradients.
G_WEIGHTS, G_LOG_SIGMA2, G_BIASES = range(26, 29)
FIELDS = 29

# Of the other row.
THRESHOLD, K1, NOISE_SCALE, SETTINGS = range(4)
