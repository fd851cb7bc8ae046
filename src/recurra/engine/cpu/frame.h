// What every generated kernel is given, and how its work is dealt out. POINTERS is generated.

#include <algorithm>
#include <thread>

struct Call {
  int64_t batch, steps, hidden, inputs, slices, split, save;
  const int64_t* order;    // the rows, longest first
  const int64_t* lengths;  // by row
  const int64_t* first;    // by row: where its steps begin in arrays over all steps of all rows
  int64_t* arrived;        // slices that have come to a barrier, counted from the start of the call
  real* p[POINTERS];
};

// What one slice works on: every slices-th row of the order, so that all slices are equally long, and all units;
// or, where the units are split, all rows and some of the units.
struct Slice {
  int64_t number, rows, padded, first_unit, last_unit;
  const int64_t* row;
  real* scratch;
  real* means;
  int32_t* narrow;  // operands of products in bfloat16
};

static int64_t whole(int64_t count, int64_t of) { return (count + of - 1) / of * of; }
static int64_t padded(int64_t hidden) { return whole(hidden, 64); }
static int64_t groups(const Call& c) { return c.split ? 1 : c.slices; }  // of rows
static int64_t most_rows(const Call& c) { return (c.batch + groups(c) - 1) / groups(c); }
static constexpr int64_t UNIT = 2 * LANES;  // units are split between whole tiles

// Where the units are split, every slice waits here for all others before it reads what they have written.
// `count` slices come at once; `turn` is where the count stands once all have come.
static void wait(const Call& c, int64_t count, int64_t& turn) {
  turn += c.slices;
  __atomic_add_fetch(c.arrived, count, __ATOMIC_ACQ_REL);
  for (int64_t spins = 0; __atomic_load_n(c.arrived, __ATOMIC_ACQUIRE) < turn; ++spins)
    if (spins > 4000) std::this_thread::yield();
}
