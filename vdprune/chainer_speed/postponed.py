"""Variables whose numbers are computed when somebody asks for them."""

import copy
import weakref
from typing import Any

from chainer import Variable, using_config


class Promise:
    """What a `Postponed` will be.

    Args:
        source: What it is made of, if that is a promise, too.
        promises: Where it is listed, for `settle`.
    """

    def __init__(self, source: "Promise | None", promises: "list[Promise]") -> None:
        self.source = source
        self.promises = promises
        self.consumers = 0  # promises that are made of this one
        self._value: Any = None
        self._owner: Any = None
        promises.append(self)
        if source is not None:
            source.consumers += 1

    def compute(self) -> Any:
        """Compute the variable."""
        raise NotImplementedError

    def rectified(self) -> Any:
        """Return what ReLU makes of it, postponed, or None if that can't be."""
        return None

    def variable(self) -> Any:
        """Return the variable; it is computed once."""
        if self._value is None:
            with using_config("enable_backprop", True):  # as it was when it was promised
                self._value = self.compute()
        return self._value

    def is_open(self, consumers: int) -> bool:
        """Tell whether nobody has asked for it or ever can.

        Args:
            consumers: How many promises are made of it.
        """
        return self._value is None and self._owner() is None and self.consumers == consumers

    def postpone(self) -> "Postponed":
        """Make the variable that stands for it until somebody asks."""
        variable = Variable.__new__(Postponed)
        vars(variable)["promise"] = self
        self._owner = weakref.ref(variable)
        return variable


def settle(promises: list[Promise]) -> None:
    """Compute what somebody still may ask for, while what it is computed from is as it was.

    Args:
        promises: The promises.
    """
    for promise in promises:
        variable = promise._owner()
        if variable is not None:
            variable.node  # noqa: B018


class Postponed(Variable):
    """Becomes an ordinary Variable as soon as anybody asks it for more than its ``promise``."""

    promise: Promise

    def __getattr__(self, name: str) -> Any:
        # all attributes of a Variable are set by its initializer, which this one has not gone through
        members: dict[str, Any] = vars(self)  # type: ignore[assignment]
        promise = members.get("promise")
        if promise is None:
            raise AttributeError(f"a Variable has no attribute {name!r}")
        value = promise.variable()
        del members["promise"]
        members.update(vars(value))
        self._node._variable = weakref.ref(self)
        self.__class__ = Variable
        return getattr(self, name)

    def __copy__(self) -> Any:
        self.node  # noqa: B018
        return copy.copy(self)  # now of an ordinary one
