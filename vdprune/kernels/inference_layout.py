"""How a network is written down for `vdprune.kernels.inference`: as a program and its floats.

A program is one array of integers: a header, a row for each step, which features of an example are
read, then indices of weights. Weights, biases and the like are in a second array, the floats. Rows say
where in these arrays, and where in the arena, what is theirs begins.
"""

# What a program begins with: how many steps it has, where the result is in the arena, how many features
# are read, where in the floats their scales are, then their shifts, how many numbers of an example the
# arena has, and how many examples go through all steps at a time.
STEPS, LAST, FEATURES, SCALES, ROOM, EXAMPLES = 0, 1, 2, 3, 4, 5
HEADER = 6

# What a step does.
LINEAR_SPARSE, LINEAR_DENSE, CONVOLUTION_SPARSE, CONVOLUTION_DENSE = 0, 1, 2, 3
MAX_POOLING, AVERAGE_POOLING, COPY, ADD, AFFINE, SOFTMAX, PAD = 4, 5, 6, 7, 8, 9, 10
LINEAR_SLICED = 11

SLICE = 4  # outputs of a LINEAR_SLICED step that are added up side by side

# What it then does to each number.
NOTHING, RELU, LEAKY_RELU, CLIPPED_RELU, ELU, SIGMOID, TANH = 0, 1, 2, 3, 4, 5, 6

# Where in a step's row which number is.
KIND, ACTIVATION, SOURCE, TARGET = 0, 1, 2, 3
IN_CHANNELS, IN_HEIGHT, IN_WIDTH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH = 4, 5, 6, 7, 8, 9
KERNEL_Y, KERNEL_X, STRIDE_Y, STRIDE_X, PAD_Y, PAD_X = 10, 11, 12, 13, 14, 15
DILATE_Y, DILATE_X, WEIGHTS, BIASES, STARTS, PLACES = 16, 17, 18, 19, 20, 21
SCRATCH, ROWS, PARAMETER, OUT_PITCH = 22, 23, 24, 25
LENGTH = 26  # of a row
