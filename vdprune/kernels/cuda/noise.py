"""The noise of pre-activations as text for kernels: the same numbers that the CPU draws."""

from vdprune.kernels.constants import EPSILON

# Draws for a key and a counter, in float32, and what they make of a mean and a variance.
# Sources: Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and
# Muller, "A note on the generation of random normal deviates", 1958.
NOISE = f"""
__device__ void two_normals(unsigned int a, unsigned int b, float* normals) {{
    float radius = sqrtf(-2.0f * logf(((float)(a >> 8) + 0.5f) * 5.9604644775390625e-8f));
    float sine, cosine;
    sincospif((float)(int)b * 4.656612873077393e-10f, &sine, &cosine);
    normals[0] = radius * sine;
    normals[1] = radius * cosine;
}}

__device__ void four_normals(
    unsigned int column, unsigned int row, unsigned int key0, unsigned int key1, float* normals
) {{
    unsigned int a = column, b = row, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {{
        unsigned int high = __umulhi(0xD2511F53u, a), low = 0xD2511F53u * a;
        unsigned int other_high = __umulhi(0xCD9E8D57u, c), other_low = 0xCD9E8D57u * c;
        a = other_high ^ b ^ key0;
        c = high ^ d ^ key1;
        b = other_low;
        d = low;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }}
    two_normals(a, b, normals);
    two_normals(c, d, normals + 2);
}}

__device__ T add_noise(T mean, T variance, T noise, T& slope) {{
    T deviation = sqrt(variance + (T){EPSILON});
    T drawn = variance == (T)0 ? (T)0 : noise;
    slope = (T)0.5 * drawn / deviation;
    return mean + deviation * drawn;
}}
"""
