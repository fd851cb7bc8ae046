// Products of bfloat16 numbers, two at a time, summed in float32: by one instruction where the processor has it.

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

typedef int32_t pair;  // two bfloat16 numbers, the first in the lower half
typedef pair loose_pairs __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

INLINE mask load_weight(const pair* from) { return *reinterpret_cast<const loose_pairs*>(from); }
INLINE mask splat_pair(pair value) { return value - mask{}; }

#if defined(__AVX512BF16__) && VECTOR_BYTES == 64
INLINE vec dot(vec sum, mask x, mask w) {
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}
#else
INLINE vec dot(vec sum, mask x, mask w) {
  const mask upper = splat_pair(pair(0xffff0000u));
  return sum + (vec)(x << 16) * (vec)(w << 16) + (vec)(x & upper) * (vec)(w & upper);
}
#endif

// To the nearest bfloat16, ties to even; what is not a number stays so.
INLINE uint32_t rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (value != value ? bits | 0x400000 : bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

static void narrow(const float* from, int64_t count, pair* to) {
  for (int64_t k = 0; k + 1 < count; k += 2) to[k / 2] = pair(rounded(from[k]) | rounded(from[k + 1]) << 16);
  if (count % 2) to[count / 2] = pair(rounded(from[count - 1]));
}
