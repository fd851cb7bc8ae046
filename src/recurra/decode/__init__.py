"""Decoding: from a model's distributions to symbols. Knows models only as a `recurra.Stepper`."""

from recurra.decode.sampling import Drawn, Sample, SamplingConfig, draw, sample

__all__ = ["Drawn", "Sample", "SamplingConfig", "draw", "sample"]
