"""How a network is written down for `vdprune.kernels.inference`: as a program.

A program is one array of int32: a header, a row for each step, which features of an example are read,
indices of weights, then the floats: weights, biases and the like, the bits of float32. Rows say where in
the program, in its floats, and in the arena, what is theirs begins.
"""

# What a program begins with: how many steps it has, where the result is in the arena, how many features
# are read, where in the floats their scales are, then their shifts, how many numbers of an example the
# arena has, how many examples go through all steps at a time, and where the floats begin.
STEPS, LAST, FEATURES, SCALES, ROOM, EXAMPLES, FLOATS = 0, 1, 2, 3, 4, 5, 6
HEADER = 7

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
