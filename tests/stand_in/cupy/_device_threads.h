// The threads of a RawKernel: one after another, as fibers where they wait for each other.
#pragma once
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

// The linker marks where the section of the shared variables begins and ends; a kernel may have none.
extern "C" {
extern char __start_stand_in_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_stand_in_shared[] __attribute__((weak, visibility("hidden")));
}

enum { DYNAMIC_SHARED = 48 * 1024, SHARED_GUARD = 1024, STACK = 128 * 1024 + 320, MOST_THREADS = 1024 };
alignas(16) static char stand_in_dynamic_shared[DYNAMIC_SHARED + SHARED_GUARD];

struct StandInLaunch {
  long long grid[3], block[3], shared_bytes, order;
};
enum { FINE, SHARED_OUT_OF_BOUNDS, BARRIER_NOT_REACHED };

typedef void (*StandInThread)(void** arguments);
static StandInThread stand_in_thread;
static void** stand_in_arguments;

// ---------------------------------------------------------------- kernels of any parameters

template <class... P, size_t... number>
static void stand_in_call(void (*kernel)(P...), void** arguments, std::index_sequence<number...>) {
  kernel(*(std::remove_cv_t<P>*)arguments[number]...);
}

template <class... P>
static void stand_in_call(void (*kernel)(P...), void** arguments) {
  stand_in_call(kernel, arguments, std::index_sequence_for<P...>());
}

template <class T>
static char stand_in_kind() {  // the letters of NumPy's types
  if (std::is_same<T, bool>::value) return '?';
  if (std::is_same<T, float>::value) return 'f';
  if (std::is_same<T, double>::value) return 'd';
  const char* letters = std::is_signed<T>::value ? "bhiq" : "BHIQ";
  if (!std::is_integral<T>::value) return ' ';  // any: void, a structure
  return letters[sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3];
}

template <class... P>
static void stand_in_describe(void (*)(P...), char* text) {
  ((*text++ = !std::is_pointer<P>::value                       ? '.'
              : std::is_const<std::remove_pointer_t<P>>::value ? 'c'
                                                               : '*',
    *text++ = stand_in_kind<std::remove_cv_t<std::remove_pointer_t<P>>>()),
   ...);
  *text = 0;
}

// ---------------------------------------------------------------- fibers

static char* stand_in_stacks;
static ucontext_t stand_in_first_entry;
static jmp_buf stand_in_scheduler, stand_in_waiting[MOST_THREADS];
static bool stand_in_is_started[MOST_THREADS], stand_in_is_finished[MOST_THREADS];
static dim3 stand_in_places[MOST_THREADS];
static int stand_in_current;

static void stand_in_enter_thread(int number) {
  stand_in_current = number;
  threadIdx = stand_in_places[number];
}

static void __syncthreads() {
  if (!_setjmp(stand_in_waiting[stand_in_current])) _longjmp(stand_in_scheduler, 1);
}

// A fiber is for the thread of its number in all blocks.
static void stand_in_run_fiber() {
  for (;;) {
    stand_in_thread(stand_in_arguments);
    stand_in_is_finished[stand_in_current] = true;
    __syncthreads();
  }
}

// It is entered with a context of its own, and from then on by jumps, which cost no system call.
static void stand_in_resume(int number) {
  stand_in_enter_thread(number);
  if (_setjmp(stand_in_scheduler)) return;
  if (stand_in_is_started[number]) _longjmp(stand_in_waiting[number], 1);
  stand_in_is_started[number] = true;
  getcontext(&stand_in_first_entry);
  stand_in_first_entry.uc_stack.ss_sp = stand_in_stacks + (size_t)number * STACK;
  stand_in_first_entry.uc_stack.ss_size = STACK;
  stand_in_first_entry.uc_link = 0;
  makecontext(&stand_in_first_entry, stand_in_run_fiber, 0);
  setcontext(&stand_in_first_entry);
}

static int stand_in_run_fibers(int threads, const StandInOrder& order) {
  if (!stand_in_stacks) stand_in_stacks = (char*)malloc((size_t)MOST_THREADS * STACK);
  memset(stand_in_is_finished, 0, sizeof stand_in_is_finished);
  for (int finished = 0; finished < threads;) {
    finished = 0;
    int number = (int)order.first;
    for (int k = 0; k < threads; k++, number = (int)order.after(number)) stand_in_resume(number);
    for (int k = 0; k < threads; k++) finished += stand_in_is_finished[k];
    if (finished && finished < threads) {
      memset(stand_in_is_started, 0, sizeof stand_in_is_started);  // never to go on where they wait
      return BARRIER_NOT_REACHED;
    }
  }
  return FINE;
}

// ---------------------------------------------------------------- blocks

static void stand_in_poison_shared() {
  if (__start_stand_in_shared)
    memset(__start_stand_in_shared, 0xff, __stop_stand_in_shared - __start_stand_in_shared);
  memset(stand_in_dynamic_shared, 0xff, sizeof stand_in_dynamic_shared);
}

static bool stand_in_is_shared_intact(long long used) {
  for (char* p = stand_in_dynamic_shared + used; p < stand_in_dynamic_shared + used + SHARED_GUARD; p++)
    if (*p != (char)0xff) return false;
  return true;
}

static long long stand_in_shared_bytes() {
  return __start_stand_in_shared ? __stop_stand_in_shared - __start_stand_in_shared : 0;
}

static int stand_in_launch(StandInThread thread, void** arguments, const StandInLaunch& launch,
                           bool has_barriers) {
  stand_in_thread = thread;
  stand_in_arguments = arguments;
  const long long *grid = launch.grid, *block = launch.block;
  gridDim = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
  blockDim = {(unsigned)block[0], (unsigned)block[1], (unsigned)block[2]};
  const int threads = (int)(block[0] * block[1] * block[2]);
  for (unsigned k = 0; k < (unsigned)threads; k++)
    stand_in_places[k] = {k % blockDim.x, k / blockDim.x % blockDim.y, k / (blockDim.x * blockDim.y)};
  const StandInOrder blocks(grid[0] * grid[1] * grid[2], launch.order);
  const StandInOrder order(threads, launch.order);
  long long number = blocks.first;
  for (long long k = 0; k < blocks.count; k++, number = blocks.after(number)) {
    blockIdx = {(unsigned)(number % grid[0]), (unsigned)(number / grid[0] % grid[1]),
                (unsigned)(number / (grid[0] * grid[1]))};
    stand_in_poison_shared();
    if (has_barriers) {
      const int result = stand_in_run_fibers(threads, order);
      if (result != FINE) return result;
    } else {
      int inner = (int)order.first;
      for (int j = 0; j < threads; j++, inner = (int)order.after(inner)) {
        stand_in_enter_thread(inner);
        thread(arguments);
      }
    }
    if (!stand_in_is_shared_intact(launch.shared_bytes)) return SHARED_OUT_OF_BOUNDS;
  }
  return FINE;
}
