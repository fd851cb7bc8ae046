"""Metrics: scores that say how they were computed, and the evaluation that holds them."""
