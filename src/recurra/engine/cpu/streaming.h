// One step of all rows, as Python calls it. The namespace forward is generated.

static void run(const Call& c, const Slice* s, int64_t count) {
  int64_t turn = 0;
  forward::step(c, s, count, s->rows, 0, turn);
}
extern "C" void recurra_step(int64_t begin, int64_t end, void* context) {
  run_slices<run, forward::KEPT, forward::MEANS, forward::NARROW>(begin, end, context);
}
extern "C" int64_t recurra_scratch(int64_t hidden) {  // per row and slice
  return forward::KEPT * padded(hidden) + forward::MEANS;
}
