// Vectors of floating-point numbers, and the functions that cells use, on GCC's and Clang's vector extensions:
// one source for AVX2, AVX-512 and NEON. The generated source defines REAL (float or double) and VECTOR_BYTES.
//
// exp, sigmoid and tanh are polynomials on a reduced argument (Cody & Waite 1980): x = n ln 2 + r, |r| <= ln 2 / 2.
// log and softplus are series of the inverse hyperbolic tangent.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
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

static constexpr int MANTISSA = SINGLE ? 23 : 52, EXPONENT_BIAS = SINGLE ? 127 : 1023;
// 1.5 * 2^MANTISSA: added to a small number, it leaves that rounded to a whole one, in the lowest bits.
static constexpr real MAGIC = SINGLE ? real(12582912.0) : real(6755399441055744.0);
static constexpr real LN2_HIGH = SINGLE ? real(0.693359375) : real(0.693147180369123816490);
static constexpr real LN2_LOW = SINGLE ? real(-2.12194440054690583e-4) : real(1.90821492927058770002e-10);

// 2^n, where that is a normal number. What lies above the exponent's bits is shifted out.
INLINE vec power_of_two(mask n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA); }

// n, the whole number nearest to x / ln 2, and e^r - 1.
INLINE void reduce(vec x, vec& expm1_r, mask& n) {
  const vec shifted = x * splat(real(1.44269504088896340736)) + splat(MAGIC);
  const vec whole = shifted - splat(MAGIC);
  const vec r = (x - whole * splat(LN2_HIGH)) - whole * splat(LN2_LOW);
  n = (mask)shifted - (mask)splat(MAGIC);
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

// The least x for which 2^n is a normal number.
static constexpr real EXP_LOW = SINGLE ? real(-87.0) : real(-708.0);

INLINE vec v_abs(vec x) { return (vec)((mask)x & ~(mask)splat(real(-0.0))); }

// A value that is not negative, with the sign of x, which may be that of a zero.
INLINE vec with_sign_of(vec x, vec value) {
  return (vec)((mask)v_abs(value) | ((mask)x & (mask)splat(real(-0.0))));
}

INLINE vec v_exp(vec x) {
  // Beyond these bounds the result is 0 or infinity. 2^n comes in two factors, each of which is a normal number.
  x = bounded(x, SINGLE ? real(-105.0) : real(-750.0), SINGLE ? real(90.0) : real(711.0));
  vec part;
  mask n;
  reduce(x, part, n);
  const mask half = n >> 1;
  return (part + splat(1)) * power_of_two(half) * power_of_two(n - half);
}

INLINE vec v_sigmoid(vec x) {
  // Where e^-x is infinite the result is 0, as PyTorch's is. Up to there it is kept a normal number: one that is flushed
  // to 0 has no logarithm.
  vec part;
  mask n;
  reduce(bounded(-x, EXP_LOW, SINGLE ? real(87.336) : real(708.396)), part, n);
  const vec power = power_of_two(n);
  const vec value = splat(1) / (part * power + power + splat(1));
  return select(x < splat(SINGLE ? real(-88.72283) : real(-709.782712893384)), splat(0), value);
}

INLINE vec v_tanh(vec x) {
  vec part;
  mask n;
  reduce(bounded(v_abs(x) * splat(-2), EXP_LOW, real(0)), part, n);
  const vec power = power_of_two(n);
  const vec decay = part * power + (power - splat(1));  // e^(-2|x|) - 1
  return with_sign_of(x, -decay / (decay + splat(2)));
}

INLINE vec v_relu(vec x) { return select(x < splat(0), splat(0), x); }
INLINE vec v_sqrt(vec x) { return each(x, [](real one) { return std::sqrt(one); }); }

// The series of 2 artanh(s) = log((1 + s) / (1 - s)), to so many terms.
template <int TERMS> INLINE vec twice_artanh(vec s) {
  const vec square = s * s;
  vec sum = splat(real(1) / (2 * TERMS - 1));
  for (int k = TERMS - 2; k >= 1; --k) sum = sum * square + splat(real(1) / (2 * k + 1));
  return (s + s) + (s + s) * (square * sum);
}

INLINE vec v_log(vec x) {
  // x = 2^n m with m between the square roots of 1/2 and 2; what is less than normal is scaled up first. Where such
  // numbers are flushed, as in the kernels, the scaled one is 0 and so is x: the result is -infinity.
  const mask below = x < splat(SINGLE ? real(1.17549435e-38) : real(2.2250738585072014e-308));
  const vec scaled = select(below, x * splat(SINGLE ? real(33554432.0) : real(18014398509481984.0)), x);
  const integer root_half = SINGLE ? integer(0x3f3504f3) : integer(0x3fe6a09e667f3bcd);
  const mask n = ((mask)scaled - root_half) >> MANTISSA;
  const vec m = (vec)((mask)scaled - (n << MANTISSA));
  const vec whole = (vec)((mask)splat(MAGIC) + n) - splat(MAGIC);
  const vec power = whole - select(below, splat(SINGLE ? 25 : 54), splat(0));
  const vec part = twice_artanh<SINGLE ? 6 : 11>((m - splat(1)) / (m + splat(1)));
  vec value = power * splat(LN2_HIGH) + (power * splat(LN2_LOW) + part);
  const real infinity = std::numeric_limits<real>::infinity();
  value = select(x == splat(infinity), x, value);
  value = select(x == splat(0), splat(-infinity), value);
  return select(x >= splat(0), value, splat(std::numeric_limits<real>::quiet_NaN()));
}

// max(x, 0) + log(1 + e^-|x|), and x itself above 20, as PyTorch has it.
INLINE vec v_softplus(vec x) {
  const vec decay = v_exp(-v_abs(x));
  const vec value = v_relu(x) + twice_artanh<SINGLE ? 9 : 18>(decay / (decay + splat(2)));
  return select(x > splat(20), x, value);
}
INLINE vec v_pow(vec x, vec y) {
  // Where denormal numbers are flushed, they equal 0; std::pow, which looks at their bits, is given a true 0.
  for (int64_t i = 0; i < LANES; ++i) x[i] = std::pow(x[i] == 0 ? std::copysign(real(0), x[i]) : x[i], y[i]);
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
