"""How threads are told what to do: a few int64, addresses among them, and a few float64."""

# The int64.
(
    KIND,
    THREADS,  # how many carry it out
    MEETING,  # how many have come to meet others: see vdprune.kernels.waiting
    TABLE,  # address of the layers, or of the parameters
    ROWS,  # of those
    SETTINGS,
    INPUTS,
    BATCH,
    WIDTH,
    LABELS,
    WANTS_INPUTS,
    FOUND,  # address of what is found, for one step after the other
    TILES,  # how many divergences are found in a step
    # Of several steps:
    STEPS,
    EXAMPLES,  # addresses of all examples, their labels, and the numbers of those of each batch
    ALL_LABELS,
    CHOSEN,
    MEAN,  # address of what is taken away from examples, which are bytes then; or 0
    KEYS,  # addresses of the keys of each step's layers, and of each step's two real numbers
    SCHEDULE,
    PARAMETERS,  # address of the parameters, and how many there are
    PARAMETER_ROWS,
    LENGTH,
) = range(23)

# Kinds. Their float64 are the gradient of the divergence; for Adam beta1, beta2, epsilon and the step
# size; for steps those, but in the place of the step size what bytes are multiplied by.
PYTHON, FORWARD, BACKWARD, OBJECTIVE, ADAM, SEVERAL_STEPS = range(6)
NUMBERS = 4

# What is found in a step, before the divergences of tiles: the sum of the cross entropies, how often the
# label is the largest logit, and whether the parameters were updated.
CROSS_ENTROPY, RIGHT, IS_DONE, FOUND_BEFORE = range(4)

# The real numbers of a step: the gradient of the divergence, and Adam's step size.
G_DIVERGENCE, RATE, SCHEDULE_FIELDS = range(3)

PARAMETER_FIELDS = 5
