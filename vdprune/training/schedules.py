"""Learning rate and KL weight by epoch."""

from vdprune.training.recipe import Recipe


def learning_rate_at(recipe: Recipe, epoch: int) -> float:
    """Learning rate of an epoch: held, then linear to 0 at the end of the run.

    Args:
        recipe: The recipe.
        epoch: The epoch, counted from 0.

    Returns:
        Adam's alpha.
    """
    hold = recipe.learning_rate_hold
    if epoch <= hold:
        return recipe.learning_rate
    return recipe.learning_rate * (recipe.epochs - epoch) / (recipe.epochs - hold)


def kl_weight_at(recipe: Recipe, epoch: int) -> float:
    """KL weight of an epoch: 0, then linear to 1, then 1.

    Args:
        recipe: The recipe.
        epoch: The epoch, counted from 0.

    Returns:
        The weight, 0 to 1.
    """
    if epoch >= recipe.kl_end:
        return 1.0
    if epoch <= recipe.kl_start:
        return 0.0
    return (epoch - recipe.kl_start) / (recipe.kl_end - recipe.kl_start)
