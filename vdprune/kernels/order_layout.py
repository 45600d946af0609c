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
    TEACHER,  # address of the logits that a teacher has of the batch; or 0
    WANTS_INPUTS,
    FOUND,  # address of what is found, for one step after the other
    TILES,  # how many divergences are found in a step
    # Of several steps:
    STEPS,
    EXAMPLES,  # address of the addresses of each batch's examples
    ALL_LABELS,  # address of all labels, and of the numbers of those of each batch
    CHOSEN,
    ALL_LOGITS,  # address of the addresses of the teacher's logits of each batch
    MEAN,  # address of what is taken away from examples, which are bytes then; or 0
    KEYS,  # addresses of the keys of each step's layers, and of each step's two real numbers
    SCHEDULE,
    PARAMETERS,  # address of the parameters, and how many there are
    PARAMETER_ROWS,
    LENGTH,
) = range(25)

# Kinds. Their float64 are the gradient of the divergence; for Adam beta1, beta2, epsilon and the step
# size; for steps those, but in the place of the step size what bytes are multiplied by. With a teacher
# the temperature and the teacher's share of the loss follow.
PYTHON, FORWARD, BACKWARD, OBJECTIVE, ADAM, SEVERAL_STEPS = range(6)
TEMPERATURE, SHARE, NUMBERS = range(4, 7)

# What is found in a step, before the divergences of tiles: the sums of the cross entropies and of the
# divergences from the teacher, how often the label is the largest logit, and whether the parameters
# were updated.
CROSS_ENTROPY, DISTILLATION, RIGHT, IS_DONE, FOUND_BEFORE = range(5)

# The real numbers of a step: the gradient of the divergence, and Adam's step size.
G_DIVERGENCE, RATE, SCHEDULE_FIELDS = range(3)

PARAMETER_FIELDS = 5
