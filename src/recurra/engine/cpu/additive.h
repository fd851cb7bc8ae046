// Additive attention: energies v . tanh(p + k) of queries p [S, K, A] and keys k [S, Tx, A], and their gradients.
// Nothing S x K x Tx x A is held: the tanh is taken again wherever it is needed. Positions of padding are left out.

struct Call {
  int64_t sources, queries, positions, width, slices;
  const uint8_t* padding;  // [S, Tx]
  const real *projected, *keys, *score;
  real* energies;  // [S, K, Tx]: written by the energies, their gradients for what goes back
  real* d_projected;
  real* d_keys;
  real* d_score;  // [slices, A]
};

INLINE vec hidden_unit(const real* projected, const real* key, int64_t a, int64_t width) {
  return v_tanh(load<true>(projected + a, width - a) + load<true>(key + a, width - a));
}

// The rows of a slice: an equal share of `count`.
INLINE int64_t share(int64_t count, int64_t slice, int64_t slices) { return count * slice / slices; }

extern "C" void recurra_energies(int64_t begin, int64_t end, void* context) {
  const FlushDenormals flush;
  const Call& c = *static_cast<const Call*>(context);
  const int64_t rows = c.sources * c.queries, width = c.width;
  for (int64_t row = share(rows, begin, c.slices); row < share(rows, end, c.slices); ++row) {
    const int64_t source = row / c.queries;
    for (int64_t t = 0; t < c.positions; ++t) {
      real& energy = c.energies[row * c.positions + t];
      energy = -std::numeric_limits<real>::infinity();
      if (c.padding[source * c.positions + t]) continue;
      const real* key = c.keys + (source * c.positions + t) * width;
      vec sum = {};
      for (int64_t a = 0; a < width; a += LANES) {
        sum += load<true>(c.score + a, width - a) * hidden_unit(c.projected + row * width, key, a, width);
      }
      energy = 0;
      for (int64_t lane = 0; lane < LANES; ++lane) energy += sum[lane];
    }
  }
}

extern "C" void recurra_d_projected(int64_t begin, int64_t end, void* context) {
  const FlushDenormals flush;
  const Call& c = *static_cast<const Call*>(context);
  const int64_t rows = c.sources * c.queries, width = c.width;
  for (int64_t row = share(rows, begin, c.slices); row < share(rows, end, c.slices); ++row) {
    const int64_t source = row / c.queries;
    for (int64_t a = 0; a < width; a += LANES) {
      vec sum = {};
      for (int64_t t = 0; t < c.positions; ++t) {
        if (c.padding[source * c.positions + t]) continue;
        const real* key = c.keys + (source * c.positions + t) * width;
        const vec unit = hidden_unit(c.projected + row * width, key, a, width);
        sum += splat(c.energies[row * c.positions + t]) * (splat(1) - unit * unit);
      }
      store<true>(c.d_projected + row * width + a, sum * load<true>(c.score + a, width - a), width - a);
    }
  }
}

extern "C" void recurra_d_keys(int64_t begin, int64_t end, void* context) {
  const FlushDenormals flush;
  const Call& c = *static_cast<const Call*>(context);
  const int64_t width = c.width;
  for (int64_t slice = begin; slice < end; ++slice) {
    real* d_score = c.d_score + slice * width;
    for (int64_t source = share(c.sources, slice, c.slices); source < share(c.sources, slice + 1, c.slices); ++source) {
      for (int64_t t = 0; t < c.positions; ++t) {
        if (c.padding[source * c.positions + t]) continue;
        const int64_t at = (source * c.positions + t) * width;
        for (int64_t a = 0; a < width; a += LANES) {
          vec sum = {}, of_score = load<true>(d_score + a, width - a);
          for (int64_t k = 0; k < c.queries; ++k) {
            const int64_t row = source * c.queries + k;
            const vec d = splat(c.energies[row * c.positions + t]);
            const vec unit = hidden_unit(c.projected + row * width, c.keys + at, a, width);
            sum += d * (splat(1) - unit * unit);
            of_score += d * unit;
          }
          store<true>(c.d_keys + at + a, sum * load<true>(c.score + a, width - a), width - a);
          store<true>(d_score + a, of_score, width - a);
        }
      }
    }
  }
}
