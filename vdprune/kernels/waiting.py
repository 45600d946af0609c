"""Waiting awake, for what comes too soon to be worth falling asleep for."""

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import STOPPED

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "7a79546c6f31c39b"

__all__ = ["count_up", "meet", "stay_awake"]

_LOOKS = 64  # until others that want the processor get it


@intrinsic
def _look_at(typing_context: Any, counts: Any) -> Any:
    """Read the first number of an array; a plain reading would be done once for all of a loop."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(counts), generate


@intrinsic
def _add_one(typing_context: Any, counts: Any) -> Any:
    """Raise the first number of an array by one, whoever else does."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "acq_rel")
        return context.get_dummy_value()

    return types.void(counts), generate


@intrinsic
def _step_aside(typing_context: Any) -> Any:
    """Let others have the processor who want it, where the system has a function for that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if hasattr(os, "sched_yield"):
            kind = ir.FunctionType(ir.IntType(32), ())
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), ())
        return context.get_dummy_value()

    return types.void(), generate


@compiled
def stay_awake(counts: Any, wanted: int, rounds: int) -> bool:
    """Wait until another thread has raised a number, or for a while.

    Args:
        counts: The number, an array of one int64.
        wanted: How high it is to be.
        rounds: How long to wait, in times that others may have the processor.

    Returns:
        Whether it is that high.
    """
    for _ in range(rounds):
        for _ in range(_LOOKS):
            if _look_at(counts) >= wanted:
                return True
        _step_aside()
    return False


@compiled
def count_up(counts: Any) -> None:
    """Raise a number that others wait for, after all that was written before.

    Args:
        counts: The number, an array of one int64.
    """
    _add_one(counts)


@compiled
def meet(counts: Any, wanted: int) -> bool:
    """Arrive somewhere and wait there for others.

    Args:
        counts: How many have arrived so far, an array of one int64; `STOPPED` if nobody is to wait.
        wanted: How many are to arrive, in all that ever did.

    Returns:
        Whether they did; if not, what they were to do is not done.
    """
    count_up(counts)
    while not stay_awake(counts, wanted, 1):
        pass
    return _look_at(counts) < STOPPED
