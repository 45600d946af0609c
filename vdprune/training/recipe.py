"""How a network is trained, as data."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vdprune.errors import ArgumentError


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run but the network and the data. The defaults are the paper's.

    Args:
        name: What people call it.
        epochs: Passes through the training examples.
        batch_size: Examples in a step; a last smaller batch is filled from the next epoch.
        learning_rate: Adam's alpha at the start.
        learning_rate_hold: Epochs for which it stays there; then it falls linearly to 0.
        kl_start: Epochs for which the KL weight is 0.
        kl_end: Epoch from which it is 1; in between it grows linearly.
        initial_log_sigma2: Where the logarithm of the weights' variances starts.
        threshold: Log alpha above which a weight is cut.
        theta_std: Standard deviation of the initial weights.
        compact_every: Epochs after which what has no weights left is dropped from the arrays that are
            trained, for good; 0 for never.
        seed: Seed of everything random.
        validation: Training examples held out.

    Raises:
        ArgumentError: A value has no meaning.

    Source: Molchanov et al., ICML 2017, section 5 and the authors' code.
    """

    name: str = "paper"
    epochs: int = 200
    batch_size: int = 100
    learning_rate: float = 1e-3
    learning_rate_hold: float = 100.0
    kl_start: float = 5.0
    kl_end: float = 20.0
    initial_log_sigma2: float = -10.0
    threshold: float = 3.0
    theta_std: float = 0.01
    compact_every: int = 5
    seed: int = 0
    validation: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ArgumentError(f"{field.name} is {value}: it must be a finite number")
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("seed", 0),
            ("validation", 0),
            ("compact_every", 0),
        ):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name} is {getattr(self, name)}: it must be {least} or more")
        if self.seed >= 2**32:
            raise ArgumentError(f"seed is {self.seed}: it must be below 2^32")
        for name in ("learning_rate", "theta_std"):
            if getattr(self, name) <= 0:
                raise ArgumentError(f"{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.learning_rate_hold <= self.epochs:
            raise ArgumentError(
                f"learning_rate_hold is {self.learning_rate_hold}: it must lie between 0 and the "
                f"{self.epochs} epochs"
            )
        if not 0 <= self.kl_start <= self.kl_end:
            raise ArgumentError(
                f"kl_start is {self.kl_start:g}, kl_end {self.kl_end:g}: the KL weight grows from the "
                "first to the second, so give both, the first not below 0, the second not below it"
            )

    def with_options(self, **options: Any) -> "Recipe":
        """Change some fields.

        Where the epochs change, the three points of the schedules that are not given move along, so
        that a run of half the length is the same run at twice the pace.

        Args:
            **options: New values; None leaves a field as it is.

        Returns:
            The changed recipe.

        Raises:
            ArgumentError: A value has no meaning.
        """
        given = {name: value for name, value in options.items() if value is not None}
        ratio = given.get("epochs", self.epochs) / self.epochs
        moved = {
            name: getattr(self, name) * ratio
            for name in ("learning_rate_hold", "kl_start", "kl_end")
            if name not in given and ratio > 0
        }
        return replace(self, **{**moved, **given})

    def describe(self) -> str:
        """Tell the schedules in words.

        Returns:
            One line.
        """
        hold, start, end = self.learning_rate_hold, self.kl_start, self.kl_end
        return (
            f"recipe {self.name}: epochs {self.epochs}, batch {self.batch_size}; learning rate "
            f"{self.learning_rate:g} until epoch {hold:g}, then linear to 0; KL weight 0 until epoch "
            f"{start:g}, then linear to 1 at epoch {end:g}; seed {self.seed}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Make a recipe of what `to_json` returned.

        Args:
            values: The fields.

        Returns:
            The recipe.

        Raises:
            ArgumentError: A field is missing, unknown or has no meaning.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            odd = ", ".join(sorted(set(values) ^ names))
            raise ArgumentError(f"the recipe's fields do not match this version's: {odd}")
        return cls(**values)


RECIPES = {
    "paper": Recipe(),
    "quick": Recipe(name="quick", epochs=6, learning_rate_hold=3.0, kl_start=1.0, kl_end=3.0),
}
