// The functions that Python calls. The namespaces forward and backward are generated.

extern "C" void recurra_forward(int64_t begin, int64_t end, void* context) {
  run_slices<forward::run, forward::KEPT, forward::MEANS, forward::NARROW>(begin, end, context);
}
extern "C" void recurra_backward(int64_t begin, int64_t end, void* context) {
  run_slices<backward::run, backward::KEPT, backward::MEANS, backward::NARROW>(begin, end, context);
}
extern "C" int64_t recurra_scratch(int64_t hidden, int backwards) {  // per row and slice
  return backwards ? (2 * backward::KEPT + backward::NARROW) * padded(hidden) / 2 + backward::MEANS
                   : (2 * forward::KEPT + forward::NARROW) * padded(hidden) / 2 + forward::MEANS;
}
