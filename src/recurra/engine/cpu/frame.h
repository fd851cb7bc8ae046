// What every generated kernel is given, and how its rows are dealt out. POINTERS is generated.

struct Call {
  int64_t batch, steps, hidden, slices, save;
  const int64_t* order;    // the rows, longest first
  const int64_t* lengths;  // by row
  real* p[POINTERS];
};

// The rows that one slice works on: every slices-th of the order, so that all slices are equally long.
struct Slice {
  int64_t number, rows, padded;
  const int64_t* row;
  real* scratch;
  real* means;
};

static int64_t padded(int64_t hidden) { return (hidden + 63) / 64 * 64; }
static int64_t most_rows(const Call& c) { return (c.batch + c.slices - 1) / c.slices; }
