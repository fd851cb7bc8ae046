// Dealing the work of a call out to slices, and running some of them.

#include <vector>

template <void (*RUN)(const Call&, const Slice*, int64_t), int KEPT, int MEANS, int NARROW>
static void run_slices(int64_t begin, int64_t end, void* context) {
  const FlushDenormals flush;
  const Call& c = *static_cast<const Call*>(context);
  const int64_t most = most_rows(c), width = padded(c.hidden);
  const int64_t share = whole(c.hidden, c.slices * UNIT) / c.slices;
  std::vector<Slice> own(end - begin);
  for (int64_t number = begin; number < end; ++number) {
    Slice& s = own[number - begin];
    const int64_t group = c.split ? 0 : number;
    s.number = number;
    s.padded = width;
    s.rows = c.batch > group ? (c.batch - group + groups(c) - 1) / groups(c) : 0;
    s.row = c.order + group * most;
    s.first_unit = c.split ? std::min(number * share, c.hidden) : 0;
    s.last_unit = c.split ? std::min(s.first_unit + share, c.hidden) : c.hidden;
    s.scratch = c.p[P_scratch] + group * most * KEPT * width;
    s.means = c.p[P_scratch] + groups(c) * most * KEPT * width + number * most * MEANS;
    real* narrow = c.p[P_scratch] + most * (groups(c) * KEPT * width + c.slices * MEANS);
    s.narrow = reinterpret_cast<int32_t*>(narrow + number * most * NARROW * width / 2);
    if (!c.split) RUN(c, &s, 1);
  }
  if (c.split) RUN(c, own.data(), end - begin);
}
