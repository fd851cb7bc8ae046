// Weights in fewer bits: the upper half of a float, or whole numbers that are scaled later.
// Compilers make little of the vector extensions' conversions between widths, so they are written by instruction set.

typedef uint16_t bfloat16;
typedef int8_t int8;

#if defined(__AVX512F__)
#include <immintrin.h>
INLINE vec load_weight(const bfloat16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}
INLINE vec load_weight(const int8* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
#elif defined(__AVX2__)
#include <immintrin.h>
INLINE vec load_weight(const bfloat16* from) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}
INLINE vec load_weight(const int8* from) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
#else
typedef bfloat16 loose_bfloat16 __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef int8 loose_int8 __attribute__((vector_size(LANES), aligned(1), may_alias));
INLINE vec load_weight(const bfloat16* from) {
  return (vec)(__builtin_convertvector(*reinterpret_cast<const loose_bfloat16*>(from), mask) << 16);
}
INLINE vec load_weight(const int8* from) {
  const mask wide = __builtin_convertvector(*reinterpret_cast<const loose_int8*>(from), mask);
  return __builtin_convertvector(wide, vec);
}
#endif
