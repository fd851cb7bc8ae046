// Vectors of floating-point numbers, and the functions that cells use, on GCC's and Clang's vector extensions:
// one source for AVX2, AVX-512 and NEON. The generated source defines REAL (float or double) and VECTOR_BYTES.
//
// exp, sigmoid and tanh are polynomials on a reduced argument (Cody & Waite 1980): x = n ln 2 + r, |r| <= ln 2 / 2.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

typedef REAL real;
typedef std::conditional<sizeof(real) == 4, int32_t, int64_t>::type integer;
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef integer mask __attribute__((vector_size(VECTOR_BYTES)));
// A vector anywhere in memory. (A copy by memcpy goes through the stack, which halts the pipeline.)
typedef real loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
static constexpr int64_t LANES = VECTOR_BYTES / sizeof(real);
static constexpr bool SINGLE = sizeof(real) == 4;

#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(real value) { return value - vec{}; }

// The first `count` lanes only. Not inlined: tails are rare, and would be half of the code.
static __attribute__((noinline)) vec load_some(const real* from, int64_t count) {
  vec value = {};
  for (int64_t i = 0; i < count; ++i) value[i] = from[i];
  return value;
}
static __attribute__((noinline)) void store_some(real* to, vec value, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = value[i];
}

template <bool TAIL> INLINE vec load(const real* from, int64_t count) {
  return !TAIL || count >= LANES ? vec(*reinterpret_cast<const loose*>(from)) : load_some(from, count);
}
template <bool TAIL> INLINE void store(real* to, vec value, int64_t count) {
  if (!TAIL || count >= LANES) {
    *reinterpret_cast<loose*>(to) = value;
  } else {
    store_some(to, value, count);
  }
}

INLINE vec select(mask condition, vec yes, vec no) { return condition ? yes : no; }

template <class F> INLINE vec each(vec x, F f) {
  for (int64_t i = 0; i < LANES; ++i) x[i] = f(x[i]);
  return x;
}

// 2^n e^r - 2^n and 2^n, from x in a range in which 2^n is a normal number.
INLINE void reduce(vec x, vec& expm1_r, vec& power) {
  const real magic = SINGLE ? real(12582912.0) : real(6755399441055744.0);  // 1.5 * 2^(mantissa bits)
  const real ln2_high = SINGLE ? real(0.693359375) : real(0.693147180369123816490);
  const real ln2_low = SINGLE ? real(-2.12194440054690583e-4) : real(1.90821492927058770002e-10);
  const vec shifted = x * splat(real(1.44269504088896340736)) + splat(magic);
  const vec n = shifted - splat(magic);
  const vec r = (x - n * splat(ln2_high)) - n * splat(ln2_low);
  power = (vec)(((mask)shifted + (SINGLE ? 127 : 1023)) << (SINGLE ? 23 : 52));  // the same bits
  // Taylor's series of e^r - 1; the first term left out is below the rounding.
  constexpr int terms = SINGLE ? 8 : 14;
  real inverse[15] = {1, 1};
  for (int i = 2; i < 15; ++i) inverse[i] = inverse[i - 1] / i;
  vec sum = splat(inverse[terms - 1]);
  for (int i = terms - 2; i >= 2; --i) sum = sum * r + splat(inverse[i]);
  expm1_r = r * r * sum + r;
}

INLINE vec bounded(vec x, real low, real high) {
  x = select(x < splat(low), splat(low), x);
  return select(x > splat(high), splat(high), x);
}

static constexpr real EXP_LOW = SINGLE ? real(-87.0) : real(-708.0);
static constexpr real EXP_HIGH = SINGLE ? real(88.0) : real(709.0);

INLINE vec v_exp(vec x) {
  vec part, power;
  reduce(bounded(x, EXP_LOW, EXP_HIGH), part, power);
  const vec value = part * power + power;
  const vec beyond = each(x, [](real one) { return std::exp(one); });
  return select((x < splat(EXP_LOW)) | (x > splat(EXP_HIGH)), beyond, value);
}

INLINE vec v_sigmoid(vec x) {
  vec part, power;
  reduce(bounded(-x, EXP_LOW, EXP_HIGH), part, power);
  return splat(1) / (part * power + power + splat(1));
}

INLINE vec v_tanh(vec x) {
  const vec size = select(x < splat(0), -x, x);
  vec part, power;
  reduce(bounded(size * splat(-2), EXP_LOW, splat(0)[0]), part, power);
  const vec decay = part * power + (power - splat(1));  // e^(-2|x|) - 1
  const vec value = -decay / (decay + splat(2));
  return select(x < splat(0), -value, value);
}

INLINE vec v_relu(vec x) { return select(x < splat(0), splat(0), x); }
INLINE vec v_abs(vec x) { return select(x < splat(0), -x, x); }
INLINE vec v_log(vec x) { return each(x, [](real one) { return std::log(one); }); }
INLINE vec v_sqrt(vec x) { return each(x, [](real one) { return std::sqrt(one); }); }
INLINE vec v_softplus(vec x) {
  return each(x, [](real one) { return one > real(20) ? one : std::log1p(std::exp(one)); });
}
INLINE vec v_pow(vec x, vec y) {
  for (int64_t i = 0; i < LANES; ++i) x[i] = std::pow(x[i], y[i]);
  return x;
}
INLINE vec v_maximum(vec x, vec y) { return select((x != x) | (x > y), x, y); }
INLINE vec v_minimum(vec x, vec y) { return select((x != x) | (x < y), x, y); }
INLINE vec v_inverse_root(vec x) { return splat(1) / v_sqrt(x + splat(real(NORM_EPSILON))); }

INLINE real row_mean(const real* row, int64_t count) {
  vec sum = {};
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) sum += load<false>(row + i, LANES);
  real total = 0;
  for (int64_t lane = 0; lane < LANES; ++lane) total += sum[lane];
  for (; i < count; ++i) total += row[i];
  return total / count;
}
