"""Networks as C source: for a microcontroller, or any program that is to carry its network with it."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.export.c_calls import Calls, make_harmless, tell_shape
from vdprune.formats.weights import Weights
from vdprune.runtime.layers import Layers, make_layers
from vdprune.storage import MARK, check_marked, write_together
from vdprune.version import __version__

_HEADER = """\
{about}
#ifndef VDPRUNE_{NAME}_H
#define VDPRUNE_{NAME}_H

#define {NAME}_INPUTS {inputs} /* {shape} */
#define {NAME}_OUTPUTS {outputs}
#define {NAME}_WORK_SIZE {work}

#ifdef __cplusplus
extern "C" {{
#endif

/* Computes the outputs y of an example x: {example}.
 * work has room for {NAME}_WORK_SIZE floats, whatever they are. */
void {name}_predict(const float *x, float *y, float *work);

/* Tells the number of the largest output. */
int {name}_classify(const float *x, float *work);

#ifdef __cplusplus
}}
#endif

#endif
"""

_RAW = """\
raw numbers, on the scale of the data that the
 * network was trained on, as pixels of 0 to 255 where those were bytes; they are scaled in here"""
_AS_IT_IS = """\
numbers on the scale that the network was trained on;
 * nothing is scaled in here"""

_SOURCE = """\
{about}
#include "{header}"

{includes}

{functions}
{arrays}

void {name}_predict(const float *x, float *y, float *work)
{{
{calls}
}}

int {name}_classify(const float *x, float *work)
{{
    float y[{NAME}_OUTPUTS];
    int largest = 0;
    {name}_predict(x, y, work);
    for (int i = 1; i < {NAME}_OUTPUTS; i++)
        if (y[i] > y[largest])
            largest = i;
    return largest;
}}
"""


def write_c(path: Path, weights: Weights) -> list[Path]:
    """Write a network as C99 source: ``net.c`` and ``net.h`` declare and define ``net_predict``.

    It allocates nothing, and calls nothing but expf, expm1f and tanhf, where the network needs them.
    Weights are kept as compressed sparse rows, with a row's count of weights for where it begins and
    the smallest index type that fits.

    Args:
        path: The source file, .c; the header goes beside it. Names begin with its own.
        weights: The network.

    Returns:
        The two files.

    Raises:
        ArgumentError: The file's name is no good, or the network does what can't be written.
        FileWriteError: A file can't be written, or is there and not of vdprune.
    """
    if path.suffix != ".c" or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", path.stem):
        raise ArgumentError(
            f"{path.name} can't be the file's name: C names are made of it, so it has to be letters, "
            "digits, _, - and . , beginning with a letter and ending in .c, as net.c"
        )
    header = path.with_suffix(".h")
    check_marked(path)
    check_marked(header)
    name = re.sub(r"\W", "_", path.stem)
    layers = make_layers(weights.graph, {**weights.others, **weights.weights})
    calls = Calls(_fold_scaling(layers))
    calls.add_all()
    is_scaling = any(node.operation == "scaling" for node in weights.graph.nodes)
    names = {"name": name, "NAME": name.upper(), "about": _describe(weights)}
    sizes = {
        "inputs": math.prod(weights.graph.input_shape),
        "shape": tell_shape(weights.graph.input_shape),
        "example": _RAW if is_scaling else _AS_IT_IS,
        "outputs": math.prod(layers.layers[-1].out_shape),
        "work": max(1, calls.work_size),
    }
    source = _SOURCE.format(
        **names,
        header=header.name,
        includes="\n".join(f"#include {include}" for include in calls.includes),
        functions="\n".join(calls.functions),
        arrays="\n".join(calls.arrays),
        calls="\n".join(f"    {call};" for call in calls.calls),
    )
    write_together({header: _HEADER.format(**names, **sizes).encode(), path: source.encode()})
    return [path, header]


def _fold_scaling(layers: Layers) -> Layers:
    """Let linear layers scale the inputs, if nobody else takes them: that needs no room."""
    users = [layer for layer in layers.layers if 0 in layer.sources]
    if any(layer.kind != "linear" for layer in users):
        return layers
    mean, folded = layers.mean.reshape(-1).astype(numpy.float64), []
    for layer in layers.layers:
        if 0 in layer.sources:
            W: Any = layer.W
            layer = replace(layer, W=W * layers.scale, b=layer.b - W @ mean)
        folded.append(layer)
    return Layers(1.0, numpy.zeros_like(layers.mean), tuple(folded))


def _describe(weights: Weights) -> str:
    sparsity = weights.sparsity()
    return (
        f"/* Made by {MARK} {__version__} from {make_harmless(weights.header['arch'])}: "
        f"{sparsity.nonzero} of {sparsity.weights} weights. */"
    )
