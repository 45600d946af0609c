"""Networks ready to be trained."""

from typing import Any

import numpy
from chainer import as_array

from vdprune.archs import build_arch
from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint
from vdprune.datasets import Dataset
from vdprune.errors import ArgumentError
from vdprune.links.cutting import cut
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.tables import to_table

_NO_NOISE = -40.0  # log_sigma2 whose log alpha is clipped, whatever the weight


def start_checkpoint(
    recipe: Recipe, arch: str, dataset: Dataset, init: Checkpoint | None = None, **options: Any
) -> Checkpoint:
    """Make a network ready to be trained; NumPy's global generator is seeded.

    Args:
        recipe: The recipe.
        arch: The network's name in the registry.
        dataset: What it is to be trained on.
        init: A network of the same arch whose weights it starts with; None for random ones. What is
            masked in that one starts at zero, and stays there, but for a first phase that is dense.
        **options: What else the arch takes, as ``width``.

    Returns:
        The checkpoint of the untrained network.

    Raises:
        ArgumentError: There is no such arch, it can't take the data, ``init`` is another network, or a
            cut would leave no weight.
    """
    numpy.random.seed(recipe.seed)
    kwargs = {
        "input_shape": list(dataset.input_shape),
        "classes": dataset.classes,
        "theta_std": recipe.theta_std,
        **options,
    }
    model = build_arch(arch, **kwargs)
    model.warm_up = 0
    model.scaling.fit(dataset.train.x, dataset.input_scale)
    model.to_variational_dropout(
        loga_threshold=recipe.threshold, initial_log_sigma2=recipe.initial_log_sigma2
    )
    _check_cuts(recipe, model)
    if recipe.phases[0].kind != "variational":
        for _, link in model.named_variational_links():
            link.log_sigma2.array[...] = _NO_NOISE
    earlier: list[dict[str, Any]] = []
    if init is not None:
        _check_same_network(init, arch, kwargs)
        _copy_weights(init, model)
        _keep_at_zero(init, model)
        earlier = [*init.earlier_recipes, init.recipe]
    return Checkpoint(
        model,
        arch,
        kwargs,
        to_table(recipe),
        dataset.name,
        recipe.threshold,
        earlier_recipes=earlier,
    )


def _check_cuts(recipe: Recipe, model: VariationalDropoutChain) -> None:
    weights = sum(link.W.size for _, link in model.named_variational_links())
    for phase in recipe.phases:
        for plan in phase.cuts:
            if plan.compression is not None and plan.compression > weights:
                raise ArgumentError(
                    f"the phase {phase.name}: a cut to {plan.compression:,.10g}x would leave none of "
                    f"the network's {weights:,} weights: give it a compression of {weights:,} or less"
                )


def check_data(checkpoint: Checkpoint, dataset: Dataset, batch_size: int) -> None:
    """Make sure that a network can be trained on data.

    Args:
        checkpoint: The network.
        dataset: The data.
        batch_size: Examples in a step.

    Raises:
        ArgumentError: The network was made for other data, or a batch is larger than the data set.
    """
    examples, kwargs = len(dataset.train.x), checkpoint.arch_kwargs
    if batch_size > examples:
        found = f"there are {examples} training examples"
        if dataset.validation is not None:
            held_out = len(dataset.validation.x)
            found = f"validation {held_out} leaves {examples} of {examples + held_out} training examples"
        raise ArgumentError(f"batch_size is {batch_size}, {found}: it must not be larger")
    if (list(dataset.input_shape), dataset.classes) != (kwargs["input_shape"], kwargs["classes"]):
        raise ArgumentError(
            f"{dataset.name} has examples of shape {dataset.input_shape} in {dataset.classes} "
            f"classes, the network takes {checkpoint.input_shape} in {kwargs['classes']}: give the "
            "data set that it was made for"
        )


def _check_same_network(init: Checkpoint, arch: str, kwargs: dict[str, Any]) -> None:
    ours, theirs = ({"width": 1.0, **k, "theta_std": None} for k in (kwargs, init.arch_kwargs))
    if (arch, ours) != (init.arch, theirs):
        has_width = (ours["width"], theirs["width"]) != (1, 1)
        found, wanted = (
            f"{name} for {network['input_shape']} in {network['classes']} classes"
            + (f", width {network['width']:g}" if has_width else "")
            for name, network in ((init.arch, theirs), (arch, ours))
        )
        raise ArgumentError(
            f"the weights to start with are of another network: {found}, this one is {wanted}: begin "
            "with weights of one like it"
        )


def _copy_weights(init: Checkpoint, model: Any) -> None:
    """Copy what is learned, and BatchNorm's statistics; log_sigma2 stays as it is."""
    theirs = dict(init.model.namedlinks())
    for name, link in model.namedlinks():
        source = theirs[name]
        for param in link._params - {"log_sigma2"}:
            array = source.masked_W() if param == "W" and hasattr(source, "masked_W") else None
            getattr(link, param).array[...] = (
                getattr(source, param).array if array is None else as_array(array)
            )
        if name != "/scaling":  # which is of the data
            for persistent in link._persistent:
                _copy_persistent(link, source, persistent)


def _keep_at_zero(init: Checkpoint, model: Any) -> None:
    """Cut what is masked in a network in another one, too."""
    theirs = dict(init.model.named_variational_links())
    for name, link in model.named_variational_links():
        dead = ~theirs[name].kept()
        if init.pruned:
            dead |= theirs[name].W.array == 0
        if dead.any():
            cut(link, dead)


def _copy_persistent(link: Any, source: Any, name: str) -> None:
    value = getattr(source, name)
    if isinstance(value, numpy.ndarray):
        getattr(link, name)[...] = value
    elif name not in ("kl_coef", "iteration"):
        setattr(link, name, value)
