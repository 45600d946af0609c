// What g++ needs to compile the CUDA text of a kernel and run its threads one after another.
#pragma once
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <type_traits>
#include <utility>

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __constant__ static const
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __ldg(pointer) (*(pointer))
// A section of its own lets the launcher poison every block's shared memory.
#define __shared__ static __attribute__((section("stand_in_shared")))

typedef signed char int8;
typedef unsigned char uint8;
typedef short int16;
typedef unsigned short uint16;
typedef int int32;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;
typedef float float32;
typedef double float64;

struct dim3 {
  unsigned int x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

// ---------------------------------------------------------------- what went wrong

struct StandInFault {
  long long count, index, size;  // how often; of the first: the index, and what it was too large for
};
static StandInFault stand_in_fault;
static char stand_in_nowhere[64];

static inline void* stand_in_out_of_bounds(long long index, long long size) {
  if (!stand_in_fault.count++) {
    stand_in_fault.index = index;
    stand_in_fault.size = size;
  }
  memset(stand_in_nowhere, 0xff, sizeof stand_in_nowhere);
  return stand_in_nowhere;
}

#define assert(condition) ((condition) ? (void)0 : (void)stand_in_out_of_bounds(-1, 0))

// ---------------------------------------------------------------- the order of threads

enum { FORWARD, REVERSE, SHUFFLE };

static unsigned long long stand_in_common_divisor(unsigned long long a, unsigned long long b) {
  while (b) {
    unsigned long long rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Going on by a step that has no divisor in common with the count visits every number once.
struct StandInOrder {
  long long count, first, step;
  StandInOrder(long long count, long long order) : count(count), first(0), step(1) {
    if (order == REVERSE) first = step = count - 1;
    if (order != SHUFFLE || count < 3) return;
    first = 7 % count;
    step = 2654435761LL % count;
    while (step < 2 || stand_in_common_divisor(step, count) != 1) step++;
  }
  long long after(long long number) const {
    number += step;
    return number < count ? number : number - count;
  }
};

// ---------------------------------------------------------------- arrays

struct StandInIndex {
  const ptrdiff_t* values;
  ptrdiff_t operator[](int axis) const { return values[axis]; }
};

// An array is passed as {address, ndim, size, is C-contiguous, shape[ndim], strides[ndim]}.
template <class T>
class CArray {
  char* data_;
  ptrdiff_t size_;
  bool is_contiguous;
  const ptrdiff_t *shape_, *strides_;

  T& at_offset(ptrdiff_t bytes) const { return *(T*)(data_ + bytes); }

  template <class Index>
  T& at_axes(const Index& index, int length) const {
    if (length != ndim) return *(T*)stand_in_out_of_bounds(length, ndim);
    ptrdiff_t offset = 0;
    for (int axis = 0; axis < ndim; axis++) {
      if ((size_t)index[axis] >= (size_t)shape_[axis])
        return *(T*)stand_in_out_of_bounds(index[axis], shape_[axis]);
      offset += strides_[axis] * index[axis];
    }
    return at_offset(offset);
  }

  T& at_number(ptrdiff_t i) const {
    if ((size_t)i >= (size_t)size_) return *(T*)stand_in_out_of_bounds(i, size_);
    if (is_contiguous) return ((T*)data_)[i];
    ptrdiff_t offset = 0;
    for (int axis = ndim; --axis > 0; i /= shape_[axis]) offset += strides_[axis] * (i % shape_[axis]);
    return at_offset(offset + (ndim ? strides_[0] * i : 0));
  }

 public:
  int ndim;
  explicit CArray(const long long* passed)
      : data_((char*)passed[0]),
        size_(passed[2]),
        is_contiguous(passed[3]),
        shape_((const ptrdiff_t*)passed + 4),
        strides_((const ptrdiff_t*)passed + 4 + passed[1]),
        ndim((int)passed[1]) {}
  ptrdiff_t size() const { return size_; }
  const ptrdiff_t* shape() const { return shape_; }
  const ptrdiff_t* strides() const { return strides_; }
  T& operator[](ptrdiff_t i) { return at_number(i); }
  const T& operator[](ptrdiff_t i) const { return at_number(i); }
  T& operator[](const StandInIndex& index) { return at_axes(index, ndim); }
  const T& operator[](const StandInIndex& index) const { return at_axes(index, ndim); }
  template <class Int, int length>
  T& operator[](const Int (&index)[length]) {
    return at_axes(index, length);
  }
  template <class Int, int length>
  const T& operator[](const Int (&index)[length]) const {
    return at_axes(index, length);
  }
};

class CIndexer {
  ptrdiff_t size_;
  const ptrdiff_t* shape_;
  ptrdiff_t index_[32];

 public:
  int ndim;
  explicit CIndexer(const long long* passed)
      : size_(passed[2]), shape_((const ptrdiff_t*)passed + 4), ndim((int)passed[1]) {}
  ptrdiff_t size() const { return size_; }
  StandInIndex get() const { return StandInIndex{index_}; }
  void set(ptrdiff_t i) {
    for (int axis = ndim; --axis > 0; i /= shape_[axis]) index_[axis] = i % shape_[axis];
    index_[0] = i;
  }
};

#include "_device_math.h"
#include "_device_threads.h"

// NVRTC has no C++ standard library; g++ must not lend its own to the text that follows.
#define std no_standard_library_in_a_kernel
