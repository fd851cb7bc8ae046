// While one of these is in scope, its thread flushes denormal numbers (below 1.2e-38 in float, 2.2e-308 in double) to 0,
// as operands and as results: many processors compute with them a hundred times more slowly. At the end of the scope the
// thread's mode is restored, so that nothing outside the kernels sees it. On other processors it does nothing.

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

// The empty assembly keeps the compiler from moving arithmetic on memory out of the scope.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : before(_mm_getcsr()) {
    _mm_setcsr(before | 0x8040);  // "flush to zero" for results, "denormals are zero" for operands
    asm volatile("" ::: "memory");
  }
  ~FlushDenormals() {
    asm volatile("" ::: "memory");
    _mm_setcsr(before);
  }

 private:
  const unsigned before;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    asm volatile("msr fpcr, %0" ::"r"(before | uint64_t(1) << 24) : "memory");  // FZ, for operands and results
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before) : "memory"); }

 private:
  uint64_t before;
#else
  FlushDenormals() {}
  ~FlushDenormals() {}
#endif
};
