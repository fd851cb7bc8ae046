"""Decoding: from a model's distributions to symbols. Knows models only as a `recurra.Stepper`."""

from typing import TYPE_CHECKING

from recurra.lazy import homes, listing, resolver

if TYPE_CHECKING:  # the same names as below, for type checkers
    from recurra.decode.beam import beam_search as beam_search
    from recurra.decode.config import (
        BeamConfig as BeamConfig,
        SamplingConfig as SamplingConfig,
        default_max_length as default_max_length,
    )
    from recurra.decode.ensemble import Ensemble as Ensemble
    from recurra.decode.greedy_search import greedy as greedy
    from recurra.decode.hypotheses import Hypothesis as Hypothesis
    from recurra.decode.sampling import Drawn as Drawn, Sample as Sample, draw as draw, sample as sample
    from recurra.decode.target_scores import score_targets as score_targets
    from recurra.decode.trace import Extension as Extension, Trace as Trace

_HOMES = homes(
    {
        "recurra.decode.beam": ("beam_search",),
        "recurra.decode.config": ("BeamConfig", "SamplingConfig", "default_max_length"),
        "recurra.decode.ensemble": ("Ensemble",),
        "recurra.decode.greedy_search": ("greedy",),
        "recurra.decode.hypotheses": ("Hypothesis",),
        "recurra.decode.sampling": ("Drawn", "Sample", "draw", "sample"),
        "recurra.decode.target_scores": ("score_targets",),
        "recurra.decode.trace": ("Extension", "Trace"),
    }
)

__all__ = sorted(_HOMES)
__getattr__ = resolver(__name__, _HOMES)
__dir__ = listing(__name__, _HOMES)
