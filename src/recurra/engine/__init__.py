"""Engine: how a program runs through time. Each backend is a module with `can_run` and `run`."""

from recurra.engine.backend import Call, Layer, Options, Result
from recurra.engine.choose import BACKENDS, CHOICES, Verdict, choose, explain, run

__all__ = ["BACKENDS", "CHOICES", "Call", "Layer", "Options", "Result", "Verdict", "choose", "explain", "run"]
