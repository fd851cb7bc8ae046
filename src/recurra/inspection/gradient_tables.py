"""Gradient flow as tables: what the map and the curves draw, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.shown import Table

_MOST_LAGS = 256  # per output step, in the table of the map


def map_table(flows: Sequence[GradientFlow]) -> Table:
    """The norm by output step and lag; at most 256 lags per output step, spread geometrically."""
    columns = ("layer", "direction", "output_step", "state_step", "lag", "norm", "log10_norm",
               "relative_standard_error", "method")  # fmt: skip
    return columns, list(_map_rows(flows))


def curve_table(flows: Sequence[GradientFlow]) -> Table:
    """The mean norm by lag, all lags."""
    columns = ("layer", "direction", "lag", "norm", "log10_norm", "relative_standard_error", "output_steps",
               "method")  # fmt: skip
    return columns, list(_curve_rows(flows))


def _map_rows(flows: Sequence[GradientFlow]) -> Iterator[tuple[object, ...]]:
    for flow in flows:
        lags = _geometric(flow.log10_norms.shape[1], _MOST_LAGS)
        sign = -1 if flow.direction == "forward" else 1
        for step, logs, errors in zip(flow.output_steps, flow.log10_norms, flow.relative_errors, strict=True):
            for lag in lags:
                if not np.isnan(logs[lag]):
                    yield (flow.layer + 1, flow.direction, step, step + sign * lag, lag, _number(10.0 ** logs[lag]),
                           _number(logs[lag]), _number(errors[lag]), _short_method(flow))  # fmt: skip


def _curve_rows(flows: Sequence[GradientFlow]) -> Iterator[tuple[object, ...]]:
    for flow in flows:
        for lag, (log, error, count) in enumerate(zip(*flow.curve(), strict=True)):
            yield (flow.layer + 1, flow.direction, lag, _number(10.0**log), _number(log), _number(error), count,
                   _short_method(flow))  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.7g}"


def _short_method(flow: GradientFlow) -> str:
    return "exact" if flow.exact else f"{flow.probes} probes"


def _geometric(count: int, most: int) -> list[int]:
    """At most about `most` of 0 ... count - 1: all where few, else ever wider apart, the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({0, *np.geomspace(1, count - 1, most - 1).round().astype(int).tolist()})
