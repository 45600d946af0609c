"""The noise of pre-activations: the same numbers that the CPU draws."""

from typing import Any

import numpy
from chainer.backends import cuda

from vdprune.kernels.constants import EPSILON

# Draws for a key and a counter, in float32.
# Sources: Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and
# Muller, "A note on the generation of random normal deviates", 1958.
_DRAWS = """
__device__ void two_normals(unsigned int a, unsigned int b, float* normals) {
    float radius = sqrtf(-2.0f * logf(((float)(a >> 8) + 0.5f) * 5.9604644775390625e-8f));
    float sine, cosine;
    sincospif((float)(int)b * 4.656612873077393e-10f, &sine, &cosine);
    normals[0] = radius * sine;
    normals[1] = radius * cosine;
}

__device__ void four_normals(
    unsigned int column, unsigned int row, unsigned int key0, unsigned int key1, float* normals
) {
    unsigned int a = column, b = row, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        unsigned int high = __umulhi(0xD2511F53u, a), low = 0xD2511F53u * a;
        unsigned int other_high = __umulhi(0xCD9E8D57u, c), other_low = 0xCD9E8D57u * c;
        a = other_high ^ b ^ key0;
        c = high ^ d ^ key1;
        b = other_low;
        d = low;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    two_normals(a, b, normals);
    two_normals(c, d, normals + 2);
}
"""

# What draws make of a mean and a variance, and the slope of that by the variance.
NOISE = f"""{_DRAWS}
__device__ T add_noise(T mean, T variance, T noise, T& slope) {{
    T deviation = sqrt(variance + (T){EPSILON});
    T drawn = variance == (T)0 ? (T)0 : noise;
    slope = (T)0.5 * drawn / deviation;
    return mean + deviation * drawn;
}}
"""


def normals(shape: tuple[int, ...], dtype: Any, key: tuple[int, int]) -> Any:
    """Draw standard normal numbers.

    Args:
        shape: Shape of the result.
        dtype: Its floating point dtype; the draws are made in float32.
        key: Key of the noise, two numbers below 2^32.

    Returns:
        The numbers.
    """
    drawn = cuda.cupy.empty(shape, dtype if numpy.dtype(dtype).char == "d" else numpy.float32)
    quarter = (drawn.size + 3) // 4
    cuda.elementwise(
        "uint32 key0, uint32 key1, int64 size, int64 quarter",
        "raw T drawn",
        """
        float normals[4];
        four_normals(i, i >> 32, key0, key1, normals);
        for (int k = 0; k < 4; k++) if (i + k * quarter < size) drawn[i + k * quarter] = normals[k];
        """,
        "vdprune_normals",
        preamble=_DRAWS,
    )(*key, drawn.size, quarter, drawn, size=quarter)
    return drawn.astype(dtype, copy=False)
