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
    DIVERGENCES,
    TILES,  # how many of those
    FOUND,
    LENGTH,
) = range(15)

# Kinds. Their float64 are the gradient of the divergence; or, for Adam, its settings.
PYTHON, FORWARD, BACKWARD, OBJECTIVE, ADAM = range(5)
NUMBERS = 4

PARAMETER_FIELDS = 5
