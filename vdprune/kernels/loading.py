"""Kernels made ready before they are needed.

They are compiled in another process, so that this one finds them compiled, as all later ones do: of a
function that others call, which were compiled before it in the same process, it depends on that which
of two versions is called, whose sums may be rounded differently.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy
from numba.core.dispatcher import Dispatcher

_PATIENCE = 2.0  # seconds
_SCRIPT = (
    "import sys; sys.path[:] = {path!r}; from vdprune.kernels import loading; loading.{name}()"
)
_PACKAGE = f"{__package__}."


def load_kernels(on_compile: Callable[[], object]) -> None:
    """Load the compiled kernels for float32, or compile them, which takes up to a minute, once.

    Args:
        on_compile: Called when they have to be compiled and take long, perhaps from another thread.

    Raises:
        KeyboardInterrupt: Ctrl-C came while they were compiled.
    """
    from vdprune.kernels import orders, sparse_convolution

    # the first and the last
    if not (_is_kept(orders.take_part) and _is_kept(sparse_convolution.correlate)):
        _compile_elsewhere("_call_each", on_compile)
    _call(_call_each, on_compile)


def load_inference(on_compile: Callable[[], object]) -> None:
    """Load what `vdprune.runtime` needs, or compile it.

    Args:
        on_compile: As for `load_kernels`.

    Raises:
        KeyboardInterrupt: As for `load_kernels`.
    """
    from vdprune.kernels import inference

    if not _is_kept(inference.run):
        _compile_elsewhere("_call_inference", on_compile)
    _call(_call_inference, on_compile)


def _is_kept(kernel: Any) -> bool:
    """Tell whether a kernel is there compiled, for this processor, or never will be."""
    file = getattr(kernel._cache, "_cache_file", None)
    if file is None:  # there is no place to keep it
        return True
    processor = kernel.targetctx.codegen().magic_tuple()
    return any(key[1] == processor for key in file._load_index())


def _compile_elsewhere(name: str, on_compile: Callable[[], object]) -> None:
    """Have a function of this module compile kernels; if that fails they are compiled here."""
    on_compile()
    script = _SCRIPT.format(path=sys.path, name=name)
    nowhere = subprocess.DEVNULL
    command = [sys.executable or "", "-c", script]  # a Python inside another program has none
    try:
        code = subprocess.run(command, stdin=nowhere, stdout=nowhere, stderr=nowhere).returncode
    except OSError:
        return
    if code in (-signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt


def _call(function: Callable[[], object], on_compile: Callable[[], object]) -> None:
    is_done = threading.Event()
    threading.Thread(target=_watch, args=(is_done, on_compile), daemon=True).start()
    try:
        function()
    finally:
        is_done.set()


def _watch(is_done: threading.Event, on_compile: Callable[[], object]) -> None:
    while not is_done.wait(_PATIENCE):
        if _have_compiled():
            on_compile()
            return


def _have_compiled() -> bool:
    """Tell whether a kernel was not found compiled; on a busy machine loading takes long, too."""
    modules = [module for name, module in sys.modules.copy().items() if name.startswith(_PACKAGE)]
    members = [member for module in modules for member in vars(module).copy().values()]
    return any(member.stats.cache_misses for member in members if isinstance(member, Dispatcher))


def _call_each() -> None:
    from vdprune.kernels import (
        convolution,
        cpu,
        noise,
        pooling,
        sparse_convolution,
        unfolding,
        waiting,
        winograd,
    )

    waiting.stay_awake(numpy.zeros(1, numpy.int64), 0, 1)
    _call_orders()
    a, b, c, d, e, f = numpy.ones((6, 1), numpy.float32)
    cpu.weight_moments(a, b, 3.0, False, 0.0, c, d, e, f)
    cpu.weight_gradients(a, e, f, False, 0.0, b, c)
    y, numbers = numpy.ones((1, 1), numpy.float32), numpy.zeros(1, numpy.uint32)
    noise.sample(y, y.copy(), numbers, 1.0, y[:0], 0, 0)
    cpu.relu(a, b)
    cpu.cross_entropy(y, numpy.zeros(1, numpy.int32), y.copy())
    pixels = numpy.ones((1, 1), numpy.uint8)
    cpu.scale(pixels, 1.0, a, y.copy())
    pixels.flags.writeable = False  # as those are that evaluation cuts out of a data set
    cpu.scale(pixels, 1.0, a, y.copy())
    cpu.relu_gradient(a, b, c)
    x, columns = numpy.ones((1, 1, 1, 1), "f4"), numpy.ones((1, 1, 1, 1, 1, 1), "f4")
    unfolding.unfold(x, (1, 1), (0, 0), (1, 1), columns)
    unfolding.fold(columns, (1, 1), (0, 0), (1, 1), x)
    planes, positions = numpy.ones((1, 1, 1), "f4"), numpy.zeros((1, 1, 1), numpy.intp)
    pooling.max_pool(planes, (1, 1), (1, 1), (0, 0), planes.copy(), positions)
    pooling.max_unpool(planes, positions, (1, 1), (1, 1), (0, 0), planes.copy())
    basis = numpy.ones((16, 1, 1, 1, 1), "f4")
    padded, outputs = numpy.ones((1, 4, 4, 1), "f4"), numpy.ones((1, 2, 2, 1), "f4")
    winograd.channels_last(x, 1, 1, padded)
    winograd.channels_first(padded, 1, 1, x)
    winograd.transform_inputs(padded, False, basis)
    winograd.transform_inputs_back(basis, padded)
    winograd.transform_outputs(basis, outputs)
    winograd.transform_outputs_back(outputs, basis)
    channels, steps = numpy.zeros(1, numpy.intp), (1, 1)
    convolution.sample(
        y, y.copy(), steps, channels, a, 0, 1.0, planes[:0], 0, 0, planes.copy(), planes.copy()
    )
    convolution.part_gradients(planes, planes, channels, steps, y, y.copy(), a)
    convolution.combine(a, b, c, d)
    starts, shifts = numpy.array([0, 1]), numpy.zeros(1, numpy.intp)
    sparse_convolution.sum_shifted(a, starts, channels, shifts, y, y.copy())
    sparse_convolution.correlate(y, 0, starts, channels, shifts, y, b)


def _call_orders() -> None:
    from vdprune.kernels import order_layout as at
    from vdprune.kernels import orders, waiting

    numbers, like = numpy.zeros(at.NUMBERS), numpy.zeros(1, numpy.float32)
    order, counts = numpy.zeros(at.LENGTH, numpy.int64), numpy.zeros(1, numpy.int64)
    order[at.KIND], order[at.THREADS] = at.ADAM, 1  # of no parameters
    orders.take_part(0, order, numbers, like, counts, 0, counts, counts, -1)
    waiting.count_up(counts)


def _call_inference() -> None:
    from vdprune.kernels import inference, waiting
    from vdprune.kernels.inference_layout import (
        COPY,
        EXAMPLES,
        FEATURES,
        FLOATS,
        HEADER,
        KIND,
        LENGTH,
        ROOM,
        STEPS,
    )

    waiting.stay_awake(numpy.zeros(1, numpy.int64), 0, 1)
    waiting.count_up(numpy.zeros(1, numpy.int64))
    program, y = numpy.zeros(HEADER + LENGTH + 1 + 3, "i4"), numpy.empty((1, 1), "f4")
    program[[STEPS, FEATURES, ROOM, EXAMPLES, HEADER + KIND]] = 1, 1, 1, 1, COPY
    program[FLOATS] = HEADER + LENGTH + 1
    for x in (numpy.ones((1, 1), "u1"), numpy.ones((1, 1), "f4")):
        inference.run(x, program, y)
        x.flags.writeable = False  # as those are that evaluation cuts out of a data set
        inference.run(x, program, y)
    inference.to_probabilities(y)
