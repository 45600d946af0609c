"""From the weights to their moments and back, and Adam."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy
from chainer.backends import cuda

from vdprune.kernels.constants import EPSILON, K2, K3, LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.kernels.cuda.text import THREADS, raw_kernel

_MOST_BLOCKS = 1024
_MOST_ARRAYS = 64  # of a launch: the description of each takes 32 bytes of at most 4096

# The block that is done last adds up what the others have left: a second launch is saved, and the sum
# is the same each time. Source: NVIDIA, CUDA C++ Programming Guide, "Memory Fence Functions".
_WEIGHT_MOMENTS = f"""
extern "C" __global__ void weight_moments(
    const T* W, const T* log_sigma2, double threshold, int mask_variance, double k1, long long size,
    T* mean, T* variance, T* alpha, T* slope,
    volatile double* parts, unsigned int* finished, T* divergence
) {{
    __shared__ double sums[{THREADS}];
    __shared__ int is_last;
    const T weight = k1, weight_k3 = k1 * {K3};
    T sum = 0;
    const long long step = (long long)blockDim.x * gridDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += step) {{
        T w = W[i];
        T log_alpha = log_sigma2[i] - log(w * w + (T){EPSILON});
        bool is_clipped = log_alpha <= (T){LOG_ALPHA_MIN} || log_alpha >= (T){LOG_ALPHA_MAX};
        log_alpha = log_alpha < (T){LOG_ALPHA_MIN} ? (T){LOG_ALPHA_MIN} : log_alpha;
        log_alpha = log_alpha > (T){LOG_ALPHA_MAX} ? (T){LOG_ALPHA_MAX} : log_alpha;
        bool is_cut = log_alpha > (T)threshold;
        T value = exp(log_alpha);
        T power = exp((T){K2} + (T){K3} * log_alpha);
        T sigmoid = (T)1 / ((T)1 + power);
        T by_log_alpha = weight_k3 * power * sigmoid * sigmoid + (T)0.5 / ((T)1 + value);
        mean[i] = is_cut ? (T)0 : w;
        variance[i] = is_cut && mask_variance ? (T)0 : value * w * w;
        alpha[i] = is_cut ? -value : value;
        slope[i] = is_clipped ? (T)0 : -by_log_alpha;
        sum += weight * sigmoid + (T)0.5 * log1p((T)1 / value);
    }}
    double part = add_up(sum, sums);
    if (threadIdx.x == 0) {{
        parts[blockIdx.x] = part;
        __threadfence();
        is_last = atomicAdd(finished, 1u) == gridDim.x - 1;
    }}
    __syncthreads();
    if (!is_last) return;
    double total = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += blockDim.x) total += parts[i];
    total = add_up(total, sums);
    if (threadIdx.x == 0) {{
        divergence[0] = total;
        finished[0] = 0;
    }}
}}
"""


# See `vdprune.kernels.cpu.weight_gradients` for the terms that cancel.
_WEIGHT_GRADIENTS = f"""
    bool is_cut = alpha < (T)0, is_clipped = slope == (T)0;
    T alpha_w = is_cut && mask_variance ? (T)0 : fabs(alpha) * W;
    T inverse = (T)1 / (W * W + (T){EPSILON});
    T by_variance = g_variance;
    T through_variance = (T)2 * alpha_w * by_variance;
    through_variance *= is_clipped ? (T)1 : (T){EPSILON} * inverse;
    T through_divergence = g_divergence[0] * slope;
    T through_mean = is_cut ? (T)0 : g_mean;
    g_mean = through_mean + through_variance - (T)2 * through_divergence * W * inverse;
    g_variance = is_clipped ? (T)0 : by_variance * alpha_w * W + through_divergence;
"""


@cuda.memoize(for_each_device=True)
def _finished_blocks(stream: int) -> Any:
    """Make what blocks count themselves with; a launch leaves it at 0 for the next one of its stream."""
    return cuda.cupy.zeros(1, numpy.uint32)


def weight_moments(
    W: Any, log_sigma2: Any, threshold: float, mask_variance: bool, k1: float
) -> tuple[Any, Any, Any, Any]:
    """Compute the masked mean and variance of weights, and their KL divergence, in one launch.

    Args:
        W: Means theta of the weights.
        log_sigma2: Logarithms of their variances, shaped like W.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        k1: Weight of the sigmoid in the divergence, which the prior decides.

    Returns:
        An array of the means and the variances, shape (2, *W.shape); alpha and slope, as
        `vdprune.kernels.cpu.weight_moments` has them, shaped like W; the divergence, shape ().
    """
    moments = cuda.cupy.empty((2, *W.shape), W.dtype)
    alpha, slope = cuda.cupy.empty_like(W), cuda.cupy.empty_like(W)
    divergence = cuda.cupy.empty((), W.dtype)
    blocks = max(1, min(_MOST_BLOCKS, -(-W.size // THREADS)))
    parts = cuda.cupy.empty(blocks, numpy.float64)
    raw_kernel(_WEIGHT_MOMENTS, "weight_moments", W.dtype)(
        (blocks,),
        (THREADS,),
        (
            W,
            log_sigma2,
            numpy.float64(threshold),
            numpy.int32(mask_variance),
            numpy.float64(k1),
            numpy.int64(W.size),
            moments[0],
            moments[1],
            alpha,
            slope,
            parts,
            _finished_blocks(cuda.cupy.cuda.get_current_stream().ptr),
            divergence,
        ),
    )
    return moments, alpha, slope, divergence


def weight_gradients(
    W: Any,
    alpha: Any,
    slope: Any,
    mask_variance: bool,
    g_divergence: Any,
    g_mean: Any,
    g_variance: Any,
) -> None:
    """Turn gradients of means and variances into those of weights, in place, in one launch.

    Args:
        W: Means theta of the weights.
        alpha: As `weight_moments` left it.
        slope: As `weight_moments` left it.
        mask_variance: Whether the variance of masked weights is masked, too.
        g_divergence: Gradient of the KL divergence, shape ().
        g_mean: Gradient of the means; becomes that of W.
        g_variance: Gradient of the variances; becomes that of log_sigma2.
    """
    cuda.elementwise(
        "T W, T alpha, T slope, bool mask_variance, raw T g_divergence",
        "T g_mean, T g_variance",
        _WEIGHT_GRADIENTS,
        "vdprune_weight_gradients",
    )(W, alpha, slope, mask_variance, g_divergence, g_mean, g_variance)


_Arrays = tuple[Any, Any, Any, Any]


def adam(
    parameters: Sequence[_Arrays], beta1: float, beta2: float, epsilon: float, rate: float
) -> None:
    """Take a step of Adam for parameters of one dtype, in place, in one launch for each 16 of them.

    Args:
        parameters: For each the parameter, its gradient, and its first and second moment.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        epsilon: Keeps the quotient finite.
        rate: Step size with its bias correction.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    most = _MOST_ARRAYS // 4
    for start in range(0, len(parameters), most):
        group = parameters[start : start + most]
        sizes = numpy.cumsum([data.size for data, *_ in group])
        arrays = [array.reshape(-1) for arrays in group for array in arrays]
        gradients, others = arrays[1::4], [array for i, array in enumerate(arrays) if i % 4 != 1]
        settings = 1 - beta1, 1 - beta2, epsilon, rate
        _adam_kernel(len(group))(
            *gradients, *map(int, sizes), *settings, *others, size=int(sizes[-1])
        )


def _adam_kernel(count: int) -> Any:
    *texts, preamble = _write_adam(count)
    return cuda.elementwise(*texts, "vdprune_adam", preamble=preamble)


@functools.cache
def _write_adam(count: int) -> tuple[str, str, str, str]:
    """Write a kernel's parameters, text and preamble; Python then knows their hashes, too."""
    numbers = range(count)
    inputs = [f"raw T g{k}" for k in numbers] + [f"int64 end{k}" for k in numbers]
    inputs += ["T fade1", "T fade2", "T epsilon", "T rate"]
    outputs = [f"raw T {name}{k}" for k in numbers for name in ("data", "m", "v")]
    body = "\n".join(
        f"{'else ' if k else ''}if (i < end{k}) {{ ptrdiff_t j = i - {f'end{k - 1}' if k else '0'}; "
        f"step(g{k}[j], data{k}[j], m{k}[j], v{k}[j], fade1, fade2, epsilon, rate); }}"
        for k in numbers
    )
    preamble = """
    __device__ void step(
        T g, T& data, T& m, T& v, T fade1, T fade2, T epsilon, T rate
    ) {
        m += fade1 * (g - m);
        v += fade2 * (g * g - v);
        data -= rate * m / (sqrt(v) + epsilon);
    }
    """
    return ", ".join(inputs), ", ".join(outputs), body, preamble
