"""What is done to inputs and pre-activations of a layer, beside its products.

A layer's products are stacks of two matrices, of means and of variances, multiplied in one call. That
takes no transposed matrices without a copy, so the small ones are laid out both ways.
"""

from typing import Any

import numpy
from chainer.backends import cuda

from vdprune.kernels.cuda.noise import NOISE
from vdprune.kernels.cuda.text import raw_kernel

_COLUMNS, _ROWS = 32, 8  # threads of a block that goes down columns


def scale(x: Any, factor: float, mean: Any) -> Any:
    """Multiply examples by a number and take their mean away.

    Args:
        x: Examples, shape (batch, ...), any dtype.
        factor: The number.
        mean: What is taken away, shape (...).

    Returns:
        The scaled examples, shaped like x, dtype of the mean.
    """
    return cuda.elementwise(
        "S x, T factor, T mean", "T y", "y = (T)x * factor - mean", "vdprune_scale"
    )(x, factor, mean)


def lay_out(x: Any, inputs: Any) -> tuple[Any, Any]:
    """Take some of the inputs, and their squares.

    Args:
        x: Inputs, shape (batch, all inputs).
        inputs: Numbers of those to take, int32.

    Returns:
        The inputs and their squares, shape (2, batch, inputs), and transposed, (2, inputs, batch).
    """
    shape = len(x), inputs.size
    rows = cuda.cupy.empty((2, *shape), x.dtype)
    columns = cuda.cupy.empty((2, *shape[::-1]), x.dtype)
    cuda.elementwise(
        "raw T x, raw int32 inputs, int32 all_inputs, int32 batch, int32 width",
        "raw T rows, raw T columns",
        """
        int at = i, row = at / width, column = at % width;
        T value = x[row * all_inputs + inputs[column]];
        rows[at] = value;
        rows[batch * width + at] = value * value;
        columns[column * batch + row] = value;
        columns[batch * width + column * batch + row] = value * value;
        """,
        "vdprune_lay_out",
    )(x, inputs, x.shape[1], *shape, rows, columns, size=shape[0] * shape[1])
    return rows, columns


def sample(
    products: Any, places: Any, b: Any, noise_scale: float, given: Any, key: tuple[int, int]
) -> Any:
    """Draw pre-activations as `vdprune.kernels.noise.sample` does.

    Args:
        products: Their means without biases and their variances, shape (2, outputs, batch); the
            variances become the slopes of the draws by them.
        places: For each of all outputs its place among those with weights; -1 where it has none.
        b: Biases, shape (all outputs,), or None.
        noise_scale: What standard normal draws are multiplied by to get the noise.
        given: Standard normal draws to use, shape (batch, all outputs); None for new ones.
        key: Key of the noise, two numbers below 2^32.

    Returns:
        The pre-activations, shape (batch, all outputs).
    """
    batch, width = products.shape[2], places.size
    y = cuda.cupy.empty((batch, width), products.dtype)
    quarter = (batch + 3) // 4
    cuda.elementwise(
        "raw int32 places, raw T b, bool has_b, T noise_scale, raw T given, bool is_given, uint32 key0, "
        "uint32 key1, int32 batch, int32 width, int32 quarter, int32 outputs",
        "raw T products, raw T y",
        """
        int index = i, first = index / width, column = index % width;
        int place = places[column];
        T bias = has_b ? b[column] : (T)0;
        float normals[4] = {0, 0, 0, 0};
        if (place >= 0 && !is_given) four_normals(column, first, key0, key1, normals);
        for (int k = 0; k < 4; k++) {
            int row = first + k * quarter;
            if (row >= batch) break;
            T value = 0;
            if (place >= 0) {
                int at = place * batch + row;
                T noise = noise_scale * (is_given ? given[row * width + column] : (T)normals[k]);
                T& slope = products[outputs * batch + at];
                value = add_noise(products[at], slope, noise, slope);
            }
            y[row * width + column] = value + bias;
        }
        """,
        "vdprune_sample",
        preamble=NOISE,
    )(
        places,
        *optional(b, products),
        noise_scale,
        *optional(given, products),
        *key,
        batch,
        width,
        quarter,
        products.shape[1],
        products,
        y,
        size=quarter * width,
    )
    return y


def optional(array: Any, other: Any) -> tuple[Any, bool]:
    """Make a kernel's arguments of an array that may be missing.

    Args:
        array: The array, or None.
        other: What stands in its place.

    Returns:
        An array, and whether it is the one.
    """
    return (other, False) if array is None else (array, True)


_PART_GRADIENTS = f"""
extern "C" __global__ void part_gradients(
    const T* g, const T* slopes, const int* places, long long batch, long long width,
    long long outputs, int wants_rows, T* columns, T* rows, T* g_b
) {{
    __shared__ T sums[{_ROWS}][{_COLUMNS}];
    long long column = (long long)blockIdx.x * {_COLUMNS} + threadIdx.x;
    T sum = 0;
    if (column < width) {{
        long long place = places[column], half = outputs * batch;
        for (long long row = threadIdx.y; row < batch; row += {_ROWS}) {{
            T value = g[row * width + column];
            sum += value;
            if (place < 0) continue;
            T by_variance = value * slopes[place * batch + row];
            columns[place * batch + row] = value;
            columns[half + place * batch + row] = by_variance;
            if (wants_rows) {{
                rows[row * outputs + place] = value;
                rows[half + row * outputs + place] = by_variance;
            }}
        }}
    }}
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    T total = 0;
    for (int k = 0; k < {_ROWS}; k++) total += sums[k][threadIdx.x];
    g_b[column] = total;
}}
"""


def part_gradients(g: Any, slopes: Any, places: Any, wants_rows: bool) -> tuple[Any, Any, Any]:
    """Take apart what comes back through the means of pre-activations and through their variances.

    Args:
        g: Gradient of the pre-activations, shape (batch, all outputs).
        slopes: As `sample` left them, shape (outputs, batch).
        places: As `sample` was given them.
        wants_rows: Whether the second result is wanted.

    Returns:
        Gradients of means and variances, shape (2, outputs, batch); the same as (2, batch, outputs), or
        an array of no use; and the gradient of the biases, shape (all outputs,).
    """
    (batch, width), outputs = g.shape, len(slopes)
    columns = cuda.cupy.empty((2, outputs, batch), g.dtype)
    rows = cuda.cupy.empty((2, batch, outputs) if wants_rows else 1, g.dtype)
    g_b = cuda.cupy.empty(width, g.dtype)
    raw_kernel(_PART_GRADIENTS, "part_gradients", g.dtype)(
        (-(-width // _COLUMNS),),
        (_COLUMNS, _ROWS),
        (
            g,
            slopes,
            places,
            *map(numpy.int64, (batch, width, outputs)),
            numpy.int32(wants_rows),
            columns,
            rows,
            g_b,
        ),
    )
    return columns, rows, g_b


def combine(x: Any, products: Any, places: Any) -> Any:
    """Put together the gradient of inputs whose squares went into the variances.

    Args:
        x: Inputs, shape (batch, all inputs).
        products: What came back to inputs with weights and to their squares, (2, batch, inputs).
        places: For each of all inputs its place among those with weights; -1 where it has none.

    Returns:
        The gradient, shaped like x.
    """
    g_x = cuda.cupy.empty(x.shape, x.dtype)
    cuda.elementwise(
        "raw T x, raw T products, raw int32 places, int32 batch, int32 width, int32 inputs",
        "raw T g_x",
        """
        int index = i, place = places[index % width], at = index / width * inputs + place;
        T value = 0;
        if (place >= 0) value = products[at] + (T)2 * x[index] * products[batch * inputs + at];
        g_x[index] = value;
        """,
        "vdprune_combine",
    )(x, products, places, *x.shape, products.shape[2], g_x, size=x.size)
    return g_x
