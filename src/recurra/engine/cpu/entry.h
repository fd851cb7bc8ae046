// The functions that Python calls. The namespaces forward and backward are generated.

template <void (*RUN)(const Call&, const Slice&), int KEPT, int MEANS>
static void run_slices(int64_t begin, int64_t end, void* context) {
  const Call& c = *static_cast<const Call*>(context);
  const int64_t most = most_rows(c), size = most * (KEPT * padded(c.hidden) + MEANS);
  for (int64_t number = begin; number < end; ++number) {
    Slice s;
    s.number = number;
    s.padded = padded(c.hidden);
    s.rows = c.batch > number ? (c.batch - number + c.slices - 1) / c.slices : 0;
    s.row = c.order + number * most;
    s.scratch = c.p[P_scratch] + number * size;
    s.means = s.scratch + most * KEPT * s.padded;
    RUN(c, s);
  }
}
extern "C" void recurra_forward(int64_t begin, int64_t end, void* context) {
  run_slices<forward::run, forward::KEPT, forward::MEANS>(begin, end, context);
}
extern "C" void recurra_backward(int64_t begin, int64_t end, void* context) {
  run_slices<backward::run, backward::KEPT, backward::MEANS>(begin, end, context);
}
extern "C" int64_t recurra_scratch(int64_t hidden, int backwards) {  // per row
  return backwards ? backward::KEPT * padded(hidden) + backward::MEANS
                   : forward::KEPT * padded(hidden) + forward::MEANS;
}
extern "C" int64_t recurra_packed(int64_t hidden, int backwards) {
  return backwards ? backward::pack(nullptr, hidden, nullptr) : forward::pack(nullptr, hidden, nullptr);
}
extern "C" void recurra_pack(const real* weight, int64_t hidden, real* to, int backwards) {
  backwards ? backward::pack(weight, hidden, to) : forward::pack(weight, hidden, to);
}
