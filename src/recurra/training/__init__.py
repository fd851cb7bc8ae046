"""Training: optimiser, schedule, the loop, and the run directory that it fills and resumes from."""
