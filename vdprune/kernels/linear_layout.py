"""How kernels are told of linear layers: by a row of int64 for each, and one of float64."""

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
    COUNTS,  # of the next two
    VARYING,  # inputs that are not the same for all of the batch, among those alive
    FIRSTS,  # of these the first one of each panel of columns
    CONSTANTS,  # what the others are; 0 for those that vary
) = range(14, 30)
# Addresses of gradients.
G_WEIGHTS, G_LOG_SIGMA2, G_BIASES = range(30, 33)
FIELDS = 33

# Of the other row.
THRESHOLD, K1, NOISE_SCALE, SETTINGS = range(4)
