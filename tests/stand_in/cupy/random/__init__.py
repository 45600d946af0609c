"""Random numbers: each GPU has a generator, whose numbers are unlike NumPy's of the same seed."""

from typing import Any

import numpy

from cupy import _array, _device, _statistics

__all__ = [
    "RandomState",
    "get_random_state",
    "normal",
    "permutation",
    "rand",
    "randint",
    "randn",
    "random",
    "random_sample",
    "reset_states",
    "seed",
    "set_random_state",
    "standard_normal",
    "uniform",
]


def _check_floating(dtype: Any) -> None:
    if numpy.dtype(dtype).char not in "fd":
        raise TypeError("cupy.random only supports float32 and float64")


class RandomState:
    """A generator.

    Args:
        seed: What its numbers depend on; None for chance.
        method: Taken for the sake of CuPy's signature.
    """

    def __init__(self, seed: Any = None, method: Any = None) -> None:
        self.seed(seed)

    def seed(self, seed: Any = None) -> None:
        self._generator = numpy.random.Generator(numpy.random.Philox(seed))

    def _draw(self, name: str, values: Any, dtype: Any, kernels: int = 1) -> Any:
        """Put draws on the GPU; of several kernels, all but the first change them in place."""
        values = numpy.asarray(values).astype(dtype)
        size = values.nbytes
        _statistics.launch(name, (kernels - 1) * size, kernels * size, kernels)
        return _array.to_device(values)

    def standard_normal(self, size: Any = None, dtype: Any = float) -> Any:
        return self.normal(size=size, dtype=dtype)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
        _check_floating(dtype)
        moments = _array.operand(loc), _array.operand(scale)
        kernels = 1 + sum(isinstance(value, _array.ndarray) for value in (loc, scale))
        return self._draw("normal", self._generator.normal(*moments, size), dtype, kernels)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
        _check_floating(dtype)
        bounds = _array.operand(low), _array.operand(high)
        return self._draw("uniform", self._generator.uniform(*bounds, size), dtype, kernels=2)

    def random_sample(self, size: Any = None, dtype: Any = float) -> Any:
        _check_floating(dtype)
        return self._draw("random_sample", self._generator.random(size), dtype, kernels=2)

    def rand(self, *size: Any, **kwarg: Any) -> Any:
        return self.random_sample(size, **kwarg)

    def randn(self, *size: Any, **kwarg: Any) -> Any:
        return self.normal(size=size, **kwarg)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        return self._draw("randint", self._generator.integers(low, high, size), dtype)

    def permutation(self, a: int) -> Any:
        return self._draw("permutation", self._generator.permutation(int(a)), int)


_states: dict[int, RandomState] = {}


def get_random_state() -> RandomState:
    """The generator of the GPU in use."""
    return _states.setdefault(_device.current_device(), RandomState())


def set_random_state(rs: RandomState) -> None:
    """Replace the generator of the GPU in use."""
    _states[_device.current_device()] = rs


def reset_states() -> None:
    """Forget all generators."""
    _states.clear()


def seed(seed: Any = None) -> None:
    """Seed the generator of the GPU in use."""
    get_random_state().seed(seed)


def standard_normal(size: Any = None, dtype: Any = float) -> Any:
    return get_random_state().standard_normal(size, dtype)


def normal(loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
    return get_random_state().normal(loc, scale, size, dtype)


def uniform(low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
    return get_random_state().uniform(low, high, size, dtype)


def random_sample(size: Any = None, dtype: Any = float) -> Any:
    return get_random_state().random_sample(size, dtype)


random = random_sample


def rand(*size: Any, **kwarg: Any) -> Any:
    return get_random_state().rand(*size, **kwarg)


def randn(*size: Any, **kwarg: Any) -> Any:
    return get_random_state().randn(*size, **kwarg)


def randint(low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
    return get_random_state().randint(low, high, size, dtype)


def permutation(a: int) -> Any:
    return get_random_state().permutation(a)
