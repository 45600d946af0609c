"""Training of a pruned network's weights that are left."""

from dataclasses import replace

import numpy

from vdprune.checkpoint import Checkpoint
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
        ArgumentError: ``epochs`` has no meaning.
    """
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
        preparation=0.0,
    )
