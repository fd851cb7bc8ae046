"""Decoding: from a model's distributions to symbols. Knows models only as a `recurra.Stepper`."""

from recurra.decode.beam import BeamConfig, beam_search
from recurra.decode.ensemble import Ensemble
from recurra.decode.forcing import force
from recurra.decode.greedy_search import greedy
from recurra.decode.hypotheses import Hypothesis
from recurra.decode.sampling import Drawn, Sample, SamplingConfig, draw, sample
from recurra.decode.scores import default_max_length
from recurra.decode.trace import Extension, Trace

__all__ = [
    "BeamConfig",
    "Drawn",
    "Ensemble",
    "Extension",
    "Hypothesis",
    "Sample",
    "SamplingConfig",
    "Trace",
    "beam_search",
    "default_max_length",
    "draw",
    "force",
    "greedy",
    "sample",
]
