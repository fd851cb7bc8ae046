"""Looking inside: how far gradients reach back, what gates and units do, how training went."""
