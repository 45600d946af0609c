"""The C functions that written networks call; each source gets those that it needs.

In a name, INDEX stands for the type of a layer's indices, as uint16. A NaN stays one.
"""

_WINDOW = """\
/* How windows move over an image; each pair is vertical, horizontal. */
struct window {
    int32_t size[2]; /* of an image */
    int32_t out[2];  /* of its result */
    int32_t kernel[2], stride[2], pad[2], dilate[2];
};
"""

_INSIDE = """\
/* The first window of which a place, as seen from the first window, lies in the image. */
static int32_t first_inside(int32_t place, int32_t stride)
{
    return place < 0 ? (-place + stride - 1) / stride : 0;
}

/* One after the last of them. */
static int32_t end_inside(int32_t place, int32_t stride, int32_t size, int32_t most)
{
    int32_t end = place < size ? (size - place - 1) / stride + 1 : 0;
    return end < most ? end : most;
}
"""

_LINEAR = """\
/* Rows of weights, as many in each as counts says, times x. */
static void linear_INDEX(const float *x, float *y, int32_t rows, const float *weights,
                         const INDEX_t *columns, const INDEX_t *counts, const float *bias)
{
    for (int32_t i = 0; i < rows; i++) {
        float total = bias[i];
        for (int32_t k = (int32_t)counts[i]; k > 0; k--)
            total += *weights++ * x[*columns++];
        y[i] = total;
    }
}
"""

_CONVOLUTION = """\
/* Filters as rows of weights; a column is (channel, down, across) in a window. */
static void convolution_2d_INDEX(const float *x, float *y, int32_t filters, int32_t channels,
                                 int32_t groups, const struct window *w, const float *weights,
                                 const INDEX_t *columns, const INDEX_t *counts,
                                 const float *bias)
{
    const int32_t pixels = w->size[0] * w->size[1];
    const int32_t out_pixels = w->out[0] * w->out[1];
    for (int32_t f = 0; f < filters; f++, y += out_pixels) {
        const float *group = x + f / (filters / groups) * (channels / groups) * pixels;
        for (int32_t p = 0; p < out_pixels; p++)
            y[p] = bias[f];
        for (int32_t k = (int32_t)counts[f]; k > 0; k--, weights++, columns++) {
            const int32_t across = (int32_t)*columns % w->kernel[1] * w->dilate[1] - w->pad[1];
            const int32_t line = (int32_t)*columns / w->kernel[1];
            const int32_t down = line % w->kernel[0] * w->dilate[0] - w->pad[0];
            const float *image = group + line / w->kernel[0] * pixels;
            const int32_t bottom = end_inside(down, w->stride[0], w->size[0], w->out[0]);
            const int32_t left = first_inside(across, w->stride[1]);
            const int32_t right = end_inside(across, w->stride[1], w->size[1], w->out[1]);
            for (int32_t i = first_inside(down, w->stride[0]); i < bottom; i++) {
                const float *row = image + (i * w->stride[0] + down) * w->size[1];
                for (int32_t j = left; j < right; j++)
                    y[i * w->out[1] + j] += *weights * row[j * w->stride[1] + across];
            }
        }
    }
}
"""

_POOLING = """\
static void {name}(const float *x, float *y, int32_t channels, const struct window *w)
{{
    const int32_t height = w->size[0], width = w->size[1];
    for (int32_t c = 0; c < channels; c++, x += height * width)
        for (int32_t i = 0; i < w->out[0]; i++)
            for (int32_t j = 0; j < w->out[1]; j++) {{
                const int32_t top = i * w->stride[0] - w->pad[0], bottom = top + w->kernel[0];
                const int32_t left = j * w->stride[1] - w->pad[1], right = left + w->kernel[1];
                float found = {first};
                for (int32_t p = top < 0 ? 0 : top; p < bottom && p < height; p++)
                    for (int32_t q = left < 0 ? 0 : left; q < right && q < width; q++) {{
                        const float pixel = x[p * width + q];
                        {take}
                    }}
                *y++ = {result};
            }}
}}
"""

_SCALING = """\
static void scaling(const float *x, float *y, int32_t size, float scale, const float *mean)
{
    for (int32_t i = 0; i < size; i++)
        y[i] = x[i] * scale - mean[i];
}
"""

_AFFINE = """\
static void affine(const float *x, float *y, int32_t channels, int32_t size, const float *scale,
                   const float *shift)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t i = 0; i < size; i++)
            *y++ = *x++ * scale[c] + shift[c];
}
"""

_SOFTMAX = """\
static void softmax(const float *x, float *y, int32_t size)
{
    float most = x[0], total = 0;
    for (int32_t i = 1; i < size; i++)
        most = x[i] > most ? x[i] : most;
    for (int32_t i = 0; i < size; i++)
        total += y[i] = expf(x[i] - most);
    for (int32_t i = 0; i < size; i++)
        y[i] /= total;
}
"""

_COPY = """\
static void {name}(const float *x, float *y, int32_t size)
{{
    for (int32_t i = 0; i < size; i++)
        y[i] {operator} x[i];
}}
"""

_ACTIVATION = """\
static void apply_{name}(float *y, int32_t size{parameter})
{{
    for (int32_t i = 0; i < size; i++)
        y[i] = {result};
}}
"""


def _activation(name: str, result: str, parameter: str = "") -> str:
    declared = f", float {parameter}" if parameter else ""
    return _ACTIVATION.format(name=name, result=result, parameter=declared)


FUNCTIONS = {
    "linear": _LINEAR,
    "convolution_2d": _CONVOLUTION,
    "max_pooling_2d": _POOLING.format(
        name="max_pooling_2d",
        first="-HUGE_VALF",
        take="found = pixel > found || pixel != pixel ? pixel : found;",
        result="found",
    ),
    "average_pooling_2d": _POOLING.format(
        name="average_pooling_2d",
        first="0",
        take="found += pixel;",
        result="found / (float)(w->kernel[0] * w->kernel[1])",
    ),
    "scaling": _SCALING,
    "affine": _AFFINE,
    "copy": _COPY.format(name="copy", operator="="),
    "add": _COPY.format(name="add", operator="+="),
    "softmax": _SOFTMAX,
    "apply_relu": _activation("relu", "y[i] < 0 ? 0 : y[i]"),
    "apply_leaky_relu": _activation("leaky_relu", "y[i] < 0 ? y[i] * slope : y[i]", "slope"),
    "apply_clipped_relu": _activation("clipped_relu", "y[i] < 0 ? 0 : y[i] > z ? z : y[i]", "z"),
    "apply_elu": _activation("elu", "y[i] < 0 ? alpha * expm1f(y[i]) : y[i]", "alpha"),
    "apply_sigmoid": _activation("sigmoid", "0.5f * tanhf(0.5f * y[i]) + 0.5f"),
    "apply_tanh": _activation("tanh", "tanhf(y[i])"),
}

# What others use, by a word in those that do.
HELPERS = {"struct window": _WINDOW, "first_inside": _INSIDE}

# Those that need math.h.
MATHEMATICAL = {"max_pooling_2d", "softmax", "apply_elu", "apply_sigmoid", "apply_tanh"}
