// CUDA's own functions and constants, as far as the C library lacks them.
#pragma once

#define CUDART_INF_F __builtin_inff()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_INF __builtin_inf()
#define CUDART_NAN __builtin_nan("")
#define CUDART_PI_F 3.141592654f
#define CUDART_PI 3.1415926535897931e+0
#define CUDART_SQRT_TWO_F 1.414213562f
#define CUDART_SQRT_TWO 1.4142135623730951e+0

// ---------------------------------------------------------------- vectors

#define STAND_IN_VECTORS(type, name)                                             \
  struct name##2 { type x, y; };                                                 \
  struct alignas(sizeof(type) < 8 ? 16 : 8) name##4 { type x, y, z, w; };        \
  static inline name##2 make_##name##2(type x, type y) { return {x, y}; }        \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
STAND_IN_VECTORS(int, int)
STAND_IN_VECTORS(unsigned int, uint)
STAND_IN_VECTORS(float, float)
STAND_IN_VECTORS(double, double)

// ---------------------------------------------------------------- minimum and maximum

template <class A, class B>
static inline typename std::common_type<A, B>::type min(A a, B b) {
  typedef typename std::common_type<A, B>::type Common;
  if constexpr (std::is_floating_point<Common>::value) return (Common)fmin((Common)a, (Common)b);
  else return (Common)b < (Common)a ? (Common)b : (Common)a;
}

template <class A, class B>
static inline typename std::common_type<A, B>::type max(A a, B b) {
  typedef typename std::common_type<A, B>::type Common;
  if constexpr (std::is_floating_point<Common>::value) return (Common)fmax((Common)a, (Common)b);
  else return (Common)a < (Common)b ? (Common)b : (Common)a;
}

// ---------------------------------------------------------------- real numbers

static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline float rsqrt(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float sinpif(float x) { return (float)sin(M_PI * x); }
static inline float cospif(float x) { return (float)cos(M_PI * x); }
static inline double sinpi(double x) { return sin(M_PI * x); }
static inline double cospi(double x) { return cos(M_PI * x); }
static inline void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }
static inline void sincospi(double x, double* s, double* c) { *s = sinpi(x), *c = cospi(x); }
// the C library has these names for itself
#define __expf expf
#define __logf logf
#define __sinf sinf
#define __cosf cosf
#define __sincosf sincosf
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fadd_rn(float x, float y) { return x + y; }

// ---------------------------------------------------------------- integers and bits

static inline unsigned int __umulhi(unsigned int x, unsigned int y) {
  return (unsigned int)((unsigned long long)x * y >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}
static inline int __popc(unsigned int x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }

template <class To, class From>
static inline To stand_in_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float x) { return stand_in_bits<int>(x); }
static inline unsigned int __float_as_uint(float x) { return stand_in_bits<unsigned int>(x); }
static inline float __int_as_float(int x) { return stand_in_bits<float>(x); }
static inline float __uint_as_float(unsigned int x) { return stand_in_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return stand_in_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return stand_in_bits<double>(x); }

// ---------------------------------------------------------------- atomic operations
// One thread runs at a time. Only the types that CUDA has them for.

#define STAND_IN_ATOMIC(name, type, expression)            \
  static inline type name(type* place, type value) {       \
    type old = *place;                                     \
    *place = (expression);                                 \
    return old;                                            \
  }
#define STAND_IN_ATOMICS_OF_INTEGERS(type)                                       \
  STAND_IN_ATOMIC(atomicAdd, type, old + value)                                  \
  STAND_IN_ATOMIC(atomicExch, type, value)                                       \
  STAND_IN_ATOMIC(atomicMax, type, old < value ? value : old)                    \
  STAND_IN_ATOMIC(atomicMin, type, value < old ? value : old)                    \
  static inline type atomicCAS(type* place, type expected, type value) {         \
    type old = *place;                                                           \
    if (old == expected) *place = value;                                         \
    return old;                                                                  \
  }
STAND_IN_ATOMICS_OF_INTEGERS(int)
STAND_IN_ATOMICS_OF_INTEGERS(unsigned int)
STAND_IN_ATOMICS_OF_INTEGERS(unsigned long long)
STAND_IN_ATOMIC(atomicAdd, float, old + value)
STAND_IN_ATOMIC(atomicAdd, double, old + value)
STAND_IN_ATOMIC(atomicExch, float, value)
static inline void __threadfence() {}
static inline void __threadfence_block() {}
