"""What is mended in Chainer 7.8.1 for today's Python and NumPy, module by module.

This module imports no Chainer; `vdprune.chainer_compat` mends each module named in `MENDS` as it is
imported. NumPy itself is left as it is: a module that wants a name NumPy has dropped gets a view of
NumPy that has it.
"""

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from vdprune.errors import VdpruneError


class _NumpyView(types.ModuleType):
    """NumPy with some names added, for one module's eyes."""

    def __init__(self, **names: Any) -> None:
        super().__init__("numpy")
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        import numpy

        return getattr(numpy, name)


def _sctypes() -> dict[str, list[type]]:
    """Rebuild the two entries of ``numpy.sctypes``, gone in NumPy 2, that Chainer reads."""
    import numpy

    return {
        "int": [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
        "float": [numpy.float16, numpy.float32, numpy.float64, numpy.longdouble],
    }


@contextlib.contextmanager
def _numpy_with_sctypes() -> Iterator[None]:
    """``chainer.functions.array.as_strided`` reads ``numpy.sctypes`` while it is imported."""
    numpy: Any = importlib.import_module("numpy")
    if hasattr(numpy, "sctypes"):
        yield
        return
    numpy.sctypes = _sctypes()
    try:
        yield
    finally:
        del numpy.sctypes


def _mend_as_strided(module: Any) -> None:
    """Give ``F.as_strided``, whose backward reads ``numpy.sctypes`` when called, its own view."""
    if not hasattr(module.np, "sctypes"):
        module.np = _NumpyView(sctypes=_sctypes())


def _mend_resize_images(module: Any) -> None:
    """Give the one function of ``F.resize_images`` that wants it the ``numpy.float`` of old.

    The rest of the module compares ``xp is numpy``, so it must keep the real one.
    """
    function = module.compute_indices_and_weights
    names = {**vars(module), "numpy": _NumpyView(float=float)}
    mended = types.FunctionType(function.__code__, names, function.__name__)
    module.compute_indices_and_weights = functools.wraps(function)(mended)


def _mend_hdf5(module: Any) -> None:
    """Let the HDF5 serializers handle ``str``, so that whole trainers can be saved.

    LogReport, PrintReport, PlotReport and the value triggers keep strings; h5py refuses NumPy's
    ``<U`` arrays, which is what Chainer makes of them.
    """
    h5py = module.h5py
    write = module.HDF5Serializer.__call__
    read = module.HDF5Deserializer.__call__

    @functools.wraps(write)
    def write_or_write_str(self: Any, key: str, value: Any) -> Any:
        if isinstance(value, str):
            self.group.create_dataset(key, data=value, dtype=h5py.string_dtype())
            return value
        return write(self, key, value)

    @functools.wraps(read)
    def read_or_read_str(self: Any, key: str, value: Any) -> Any:
        if self.group is not None and key in self.group:
            dataset = self.group[key]
            if isinstance(dataset, h5py.Dataset) and h5py.check_string_dtype(dataset.dtype):
                return dataset.asstr()[()]
        return read(self, key, value)

    module.HDF5Serializer.__call__ = write_or_write_str
    module.HDF5Deserializer.__call__ = read_or_read_str


def _put_in_front(part: str, name: str, owner: str, method: str) -> Callable[[Any], None]:
    """Make a mend that lets a function of `vdprune.chainer_speed` have a method's calls.

    The function gets the original and its arguments; it is loaded when the method is first called.

    Args:
        part: Its module.
        name: Its name.
        owner: The class that has the method; empty for a function of the module itself.
        method: The method.
    """

    def mend(module: Any) -> None:
        place = getattr(module, owner) if owner else module
        original = getattr(place, method)
        faster: list[Callable[..., Any]] = []

        @functools.wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            if not faster:
                found = importlib.import_module(f"vdprune.chainer_speed.{part}")
                faster.append(getattr(found, name))
            return faster[0](original, *arguments, **named)

        setattr(place, method, call)

    return mend


class _NoWorkingSet:
    """What ``chainer.testing.with_requires`` finds where ``pkg_resources`` is not installed."""

    def require(self, *requirements: str) -> None:
        raise VdpruneError(
            f"chainer.testing needs pkg_resources to check {', '.join(requirements)}, and it is not "
            "installed: pip install 'setuptools<81'"
        )


@contextlib.contextmanager
def _stand_in_for_pkg_resources() -> Iterator[None]:
    """``chainer.testing`` imports ``pkg_resources`` for two decorators; gradient checks need neither."""
    if importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    stand_in: Any = types.ModuleType("pkg_resources")
    stand_in.WorkingSet = _NoWorkingSet
    stand_in.ResolutionError = type("ResolutionError", (Exception,), {})  # raised by none
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


@contextlib.contextmanager
def _onnx_with_mapping() -> Iterator[None]:
    """``onnx_chainer`` imports a table from ``onnx.mapping``, which onnx warned of, then dropped."""
    if importlib.util.find_spec("onnx") is None:
        yield
        return
    import numpy

    helper = importlib.import_module("onnx.helper")
    dtypes = [numpy.dtype(kind) for kind in "?bhilBHILefdFD"]
    stand_in: Any = types.ModuleType("onnx.mapping")
    stand_in.NP_TYPE_TO_TENSOR_TYPE = {t: helper.np_dtype_to_tensor_dtype(t) for t in dtypes}
    sys.modules["onnx.mapping"] = stand_in
    try:
        yield
    finally:
        del sys.modules["onnx.mapping"]


def _mend_onnx_chainer(module: Any) -> None:
    """Give the one module that reads another table as it runs an empty one: numbers stay bytes."""
    context: Any = sys.modules.get("onnx_chainer.context")
    if context is not None:
        mapping = types.SimpleNamespace(STORAGE_TENSOR_TYPE_TO_FIELD={})
        context.onnx = types.SimpleNamespace(mapping=mapping)


@contextlib.contextmanager
def _without_leftovers() -> Iterator[None]:
    """Start Chainer's import from nothing.

    An import of Chainer that failed before vdprune was there leaves the submodules that it got
    through in ``sys.modules``; mixed with new ones they would be half of Chainer twice.
    """
    for name in list(sys.modules):
        if name.startswith("chainer.") or name.partition(".")[0] == "chainerx":
            del sys.modules[name]
    yield


@contextlib.contextmanager
def _without_cupys_advice() -> Iterator[None]:
    """Hold back what CuPy advises, in many lines, while Chainer imports it.

    It tells how to install libraries that vdprune makes no use of, NCCL and cuDNN, to those as well
    who run on the CPU. That there are two CuPys `vdprune.devices` says, to those whom it concerns.
    """
    with warnings.catch_warnings():
        for message in (
            r"\s*(nccl|cudnn) library could not be loaded",
            r"[\s-]*CuPy may not function correctly because multiple CuPy packages are installed",
        ):
            warnings.filterwarnings("ignore", message, UserWarning)
        yield


def _mend_cuda(module: Any) -> None:
    """Tell Chainer that it has warned already that CuPy, which has none since 14, has no cuDNN."""
    module.check_cuda_available._already_warned = True


class EnvironmentCheckLoader(importlib.abc.Loader):
    """Makes a ``chainer._environment_check`` that checks nothing.

    The original imports ``numpy.distutils`` and ``pkg_resources``, both gone or going, to warn of
    Python 3.5.0, of vecLib on old macOS and of every CuPy that came out after Chainer.
    """

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        module.check = lambda: None


def _mend_max_pooling(module: Any) -> None:
    _put_in_front("pooling", "max_pool", "MaxPoolingND", "forward_cpu")(module)
    _put_in_front("pooling", "max_pool_gradient", "MaxPoolingNDGrad", "forward_cpu")(module)


# module -> (what holds while it is imported, what is done to it afterwards)
MENDS: dict[
    str,
    tuple[
        Callable[[], contextlib.AbstractContextManager[None]],
        Callable[[Any], None] | None,
    ],
] = {
    "chainer": (_without_leftovers, None),
    "chainer._backprop": (
        contextlib.nullcontext,
        _put_in_front("backprop", "backpropagate", "", "_backprop_to_all"),
    ),
    "chainer.backends.cuda": (_without_cupys_advice, _mend_cuda),
    "chainer.function_node": (
        contextlib.nullcontext,
        _put_in_front("graph", "apply", "FunctionNode", "apply"),
    ),
    "chainer.functions.array.as_strided": (_numpy_with_sctypes, _mend_as_strided),
    "chainer.functions.array.resize_images": (contextlib.nullcontext, _mend_resize_images),
    "chainer.functions.pooling.max_pooling_nd": (contextlib.nullcontext, _mend_max_pooling),
    "chainer.serializers.hdf5": (contextlib.nullcontext, _mend_hdf5),
    "chainer.testing.helper": (_stand_in_for_pkg_resources, None),
    "chainer.training.updaters.multiprocess_parallel_updater": (_without_cupys_advice, None),
    "chainer.variable": (
        contextlib.nullcontext,
        _put_in_front("backprop", "backward", "Variable", "backward"),
    ),
    "onnx_chainer": (_onnx_with_mapping, _mend_onnx_chainer),
}
