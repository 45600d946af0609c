"""Training of a pruned network's weights that are left."""

from dataclasses import replace

import numpy

from vdprune.checkpoint import Checkpoint
from vdprune.errors import ArgumentError
from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.recipes.files import FINETUNE, load_recipe
from vdprune.recipes.tables import from_table, to_table


def finetuned_checkpoint(pruned: Checkpoint, epochs: int) -> Checkpoint:
    """Make a pruned network ready to be trained on; NumPy's global generator is seeded.

    Seed, batch size and validation examples are those that it was trained with.

    Args:
        pruned: The network.
        epochs: For how long.

    Returns:
        Its checkpoint with the recipe ``finetune``, the one before kept among the earlier ones.

    Raises:
        ArgumentError: ``epochs`` has no meaning, or no weight is left, or any weight would be.
    """
    if not pruned.model.sparsity().nonzero:
        raise ArgumentError(
            f"every weight is cut at the threshold {pruned.threshold:g}, so none is left to fine-tune: "
            "cut less, with a higher threshold"
        )
    if not LOG_ALPHA_MIN < pruned.threshold < LOG_ALPHA_MAX:
        raise ArgumentError(
            f"the threshold is {pruned.threshold:g}: to fine-tune what it leaves it must lie between "
            f"{LOG_ALPHA_MIN:g} and {LOG_ALPHA_MAX:g}, the least and greatest log alpha"
        )
    before = from_table(pruned.recipe)
    recipe = load_recipe(FINETUNE, pruned.arch).with_options(
        epochs=epochs,
        batch_size=before.batch_size,
        seed=before.seed,
        threshold=pruned.threshold,
        validation=before.validation,
    )
    numpy.random.seed(recipe.seed)
    return replace(
        pruned,
        recipe=to_table(recipe),
        earlier_recipes=[*pruned.earlier_recipes, pruned.recipe],
    )
