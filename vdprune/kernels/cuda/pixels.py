"""What is done to images and outputs of a convolution, beside its products.

Images are laid out as columns: row (c, i, j) of a matrix has what weight (i, j) of channel c meets,
column (n, y, x) what the output at (y, x) of image n is made of. Indices have 32 bits, which take a
GPU fewer instructions to divide than 64.
"""

import math
from typing import Any

from chainer.backends import cuda

from vdprune.kernels.cuda.activations import optional
from vdprune.kernels.cuda.noise import NOISE

_Pair = tuple[int, int]
_Geometry = tuple[_Pair, _Pair, _Pair]

_SIZES = "int32 sy, int32 sx, int32 ph, int32 pw, int32 dy, int32 dx"


def unfold(x: Any, inputs: Any, ksize: _Pair, geometry: _Geometry, out_size: _Pair) -> Any:
    """Lay out some channels of images, and their squares.

    Args:
        x: Images, shape (n, all channels, height, width).
        inputs: Numbers of the channels, int32.
        ksize: Height and width of the filters.
        geometry: Stride, padding and dilation, pairs.
        out_size: Height and width of the outputs.

    Returns:
        Array of shape (2, channels, kh, kw, n, out_height, out_width).
    """
    columns = cuda.cupy.empty((2, inputs.size, *ksize, len(x), *out_size), x.dtype)
    half = columns.size // 2
    cuda.elementwise(
        "raw T x, raw int32 inputs, int32 half, int32 kh, int32 kw, int32 n, int32 oh, int32 ow, "
        f"int32 all_inputs, int32 h, int32 w, {_SIZES}",
        "raw T columns",
        """
        int index = i, out_x = index % ow, rest = index / ow;
        int out_y = rest % oh; rest /= oh;
        int image = rest % n; rest /= n;
        int kx = rest % kw; rest /= kw;
        int ky = rest % kh, channel = inputs[rest / kh];
        int in_y = out_y * sy - ph + ky * dy, in_x = out_x * sx - pw + kx * dx;
        bool is_inside = 0 <= in_y && in_y < h && 0 <= in_x && in_x < w;
        T value = 0;
        if (is_inside) value = x[((image * all_inputs + channel) * h + in_y) * w + in_x];
        columns[index] = value;
        columns[half + index] = value * value;
        """,
        "vdprune_unfold",
    )(
        x,
        inputs,
        half,
        *ksize,
        len(x),
        *out_size,
        *x.shape[1:],
        *_flat(geometry),
        columns,
        size=half,
    )
    return columns


def fold(
    x: Any,
    products: Any,
    places: Any,
    ksize: _Pair,
    geometry: _Geometry,
    out_size: _Pair,
    g_x: Any,
) -> None:
    """Carry gradients back through `unfold` and put them together.

    Args:
        x: The images.
        products: What came back to their columns and to the squares of those, laid out as `unfold` does.
        places: For each of all channels its place among those with weights; -1 where it has none.
        ksize: Height and width of the filters.
        geometry: Stride, padding and dilation, pairs.
        out_size: Height and width of the outputs.
        g_x: Result: the gradient of the images, shaped like x.
    """
    cuda.elementwise(
        "raw T x, raw T products, raw int32 places, int32 half, int32 kh, int32 kw, int32 n, int32 oh, "
        f"int32 ow, int32 all_inputs, int32 h, int32 w, {_SIZES}",
        "raw T g_x",
        """
        int index = i, in_x = index % w, rest = index / w;
        int in_y = rest % h; rest /= h;
        int place = places[rest % all_inputs], image = rest / all_inputs;
        T by_x = 0, by_square = 0;
        for (int ky = 0; place >= 0 && ky < kh; ky++) {
            int from_y = in_y + ph - ky * dy;
            if (from_y < 0 || from_y % sy != 0 || from_y / sy >= oh) continue;
            for (int kx = 0; kx < kw; kx++) {
                int from_x = in_x + pw - kx * dx;
                if (from_x < 0 || from_x % sx != 0 || from_x / sx >= ow) continue;
                int row = (place * kh + ky) * kw + kx;
                int at = ((row * n + image) * oh + from_y / sy) * ow + from_x / sx;
                by_x += products[at];
                by_square += products[half + at];
            }
        }
        g_x[index] = by_x + (T)2 * x[index] * by_square;
        """,
        "vdprune_fold",
    )(
        x,
        products,
        places,
        products.size // 2,
        *ksize,
        len(x),
        *out_size,
        *x.shape[1:],
        *_flat(geometry),
        g_x,
        size=x.size,
    )


def sample_pixels(
    products: Any,
    places: Any,
    b: Any,
    noise_scale: float,
    given: Any,
    first: int,
    key: _Pair,
    y: Any,
) -> Any:
    """Draw outputs as `vdprune.kernels.convolution.sample` does.

    Args:
        products: Their means without biases and their variances, shape (2, filters, n * pixels).
        places: For each of all filters its place among those with weights; -1 where it has none.
        b: Biases, shape (all filters,), or None.
        noise_scale: What standard normal draws are multiplied by to get the noise.
        given: Standard normal draws to use, shaped like y; None for new ones.
        first: Number of the first image.
        key: Key of the noise, two numbers below 2^32.
        y: Result: the outputs, shape (n, all filters, out_height, out_width).

    Returns:
        The slopes of the draws by the variances, shape (filters, n * pixels).
    """
    slopes = cuda.cupy.empty(products.shape[1:], y.dtype)
    images, width, pixels = len(y), y.shape[1], math.prod(y.shape[2:])
    quarter = (width + 3) // 4
    cuda.elementwise(
        "raw T products, raw int32 places, raw T b, bool has_b, T noise_scale, raw T given, "
        "bool is_given, uint32 first, uint32 key0, uint32 key1, int32 images, int32 width, "
        "int32 pixels, int32 quarter, int32 half",
        "raw T slopes, raw T y",
        """
        int index = i, pixel = index % pixels, rest = index / pixels;
        int group = rest % quarter, image = rest / quarter;
        float normals[4] = {0, 0, 0, 0};
        if (!is_given) {
            four_normals((first + image) * pixels + pixel, group, key0, key1, normals);
        }
        for (int k = 0; k < 4; k++) {
            int filter = group + k * quarter;
            if (filter >= width) break;
            int place = places[filter], to = (image * width + filter) * pixels + pixel;
            T value = 0;
            if (place >= 0) {
                int at = (place * images + image) * pixels + pixel;
                T noise = noise_scale * (is_given ? given[to] : (T)normals[k]);
                value = add_noise(products[at], products[half + at], noise, slopes[at]);
            }
            y[to] = value + (has_b ? b[filter] : (T)0);
        }
        """,
        "vdprune_sample_pixels",
        preamble=NOISE,
    )(
        products,
        places,
        *optional(b, products),
        noise_scale,
        *optional(given, products),
        first,
        *key,
        images,
        width,
        pixels,
        quarter,
        slopes.size,
        slopes,
        y,
        size=images * quarter * pixels,
    )
    return slopes


def part_pixel_gradients(g: Any, slopes: Any, outputs: Any) -> Any:
    """Take apart what comes back through the means of outputs and through their variances.

    Args:
        g: Gradient of the outputs, shape (n, all filters, out_height, out_width).
        slopes: As `sample_pixels` left them, shape (filters, n * pixels).
        outputs: Numbers of the filters with weights, int32.

    Returns:
        Gradients of means and variances, shape (2, filters, n * pixels).
    """
    parts = cuda.cupy.empty((2, *slopes.shape), g.dtype)
    cuda.elementwise(
        "raw T g, raw T slopes, raw int32 outputs, int32 images, int32 width, int32 pixels, int32 half",
        "raw T parts",
        """
        int index = i, pixel = index % pixels, rest = index / pixels;
        int image = rest % images, filter = outputs[rest / images];
        T value = g[(image * width + filter) * pixels + pixel];
        parts[index] = value;
        parts[half + index] = value * slopes[index];
        """,
        "vdprune_part_pixel_gradients",
    )(
        g,
        slopes,
        outputs,
        *g.shape[:2],
        math.prod(g.shape[2:]),
        slopes.size,
        parts,
        size=slopes.size,
    )
    return parts


def _flat(geometry: _Geometry) -> list[int]:
    return [number for pair in geometry for number in pair]
