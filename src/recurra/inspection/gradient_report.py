"""How far gradients reach back in the recurrent layers of any model: measured, judged and drawn.

B batch, T time, I input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recurra.errors import ConfigError
from recurra.inspection.gradient_flow import GradientFlow, Verdict, verdict
from recurra.inspection.gradient_pictures import data_line, show_curves, show_map
from recurra.inspection.gradients import measure
from recurra.inspection.saturation import Saturation, clip_rate, saturation
from recurra.inspection.saturation_picture import show_saturation
from recurra.inspection.shown import Shown
from recurra.inspection.trajectory import rows_of_one_length

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

Layers = tuple[str, "Recurrent", Tensor, Tensor | None]
"""Recurrent layers of a model: their name, themselves, what they read `[B, T, I]`, and its lengths `[B]` or None."""


@dataclass(frozen=True)
class Report:
    """What `report_gradients` measured.

    Attributes:
        flows: one per layer and direction.
        verdicts: one per flow.
        saturations: one per layer, direction and gate.
        clip_rate: the share in [0, 1] of a run's updates that were clipped, or None where it is not known.
    """

    flows: list[GradientFlow]
    verdicts: list[Verdict]
    saturations: list[Saturation]
    clip_rate: float | None

    def lines(self) -> list[str]:
        """The report as text, the verdicts last."""
        methods = dict.fromkeys(f"measured {flow.part}".rstrip() + f": {flow.method}" for flow in self.flows)
        lines = [
            *methods,
            *(
                f"{each.name} {each.gate}: {100 * each.share:.1f} % saturated "
                f"({100 * each.low:.1f} % low, {100 * each.high:.1f} % high)"
                for each in self.saturations
            ),
        ]
        if self.clip_rate is not None:
            lines.append(f"clip rate: {100 * self.clip_rate:.1f} % of the updates")
        return lines + [each.text for each in self.verdicts]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "layers": [
                {
                    "part": flow.part,
                    "layer": flow.layer + 1,
                    "direction": flow.direction,
                    "verdict": judged.kind,
                    "lag": judged.lag,
                    "text": judged.text,
                    "method": flow.method,
                }
                for flow, judged in zip(self.flows, self.verdicts, strict=True)
            ],
            "saturation": [asdict(each) | {"layer": each.layer + 1} for each in self.saturations],
            "clip_rate": self.clip_rate,
        }


def report_gradients(
    layers: Sequence[Layers],
    metrics: Sequence[Mapping[str, Any]] = (),
    output_steps: Sequence[int] | int | None = None,
    probes: int | None = None,
    max_lag: int | None = None,
    seed: int = 0,
) -> Report:
    """Measure gradient flow and gate saturation of every recurrent layer of a model, and judge.

    Args:
        layers: name, layers, input `[B, T, I]` and its lengths `[B]` or None, at least one such; of several the
            names differ. Rows of different lengths are cut to the shortest that has at least 2 steps, rows
            shorter than that are left out; `GradientFlow.method` says so.
        metrics: the lines of a run's `metrics.jsonl`, for the clip rate.
        output_steps, probes, max_lag, seed: as in `measure`.

    Raises:
        ShapeError: an input does not fit, is shorter than 2 steps, or a layer's states overflow.
        ConfigError: there are no layers, or `output_steps`, `probes` or `max_lag` is out of range.
    """
    names = [name for name, *_ in layers]
    if not layers or len(set(names)) < len(names):
        raise ConfigError(f"layers: expected at least one, each with a name of its own, got {names}.")
    flows: list[GradientFlow] = []
    saturations: list[Saturation] = []
    for name, rnn, x, lengths in layers:
        part = name if len(layers) > 1 else ""
        rows, cut = rows_of_one_length(x, lengths)
        measured = measure(rnn, rows, output_steps, probes, max_lag, seed)
        flows += [replace(flow, part=part, rows=cut) for flow in measured]
        saturations += [replace(entry, part=part) for entry in saturation(rnn, rows)]
    return Report(flows, [verdict(flow) for flow in flows], saturations, clip_rate(metrics))


def show_gradients(report: Report, title: str = "") -> Shown:
    """A report as pictures and tables: the curves, and further the map and the saturation of gates.

    Args:
        report: of at least one layer.
        title: of the pictures, such as the run's name.

    Returns:
        The curves of the first network; the rest under `further`, by the names of their files.
    """
    pictures: dict[str, Shown] = {}
    for part in dict.fromkeys(flow.part for flow in report.flows):
        flows = [flow for flow in report.flows if flow.part == part]
        entries = [entry for entry in report.saturations if entry.part == part]
        heading = ": ".join(word for word in (title, part) if word)
        pictures[_file_name("gradient_curves", part)] = show_curves(flows, heading)
        pictures[_file_name("gradient_map", part)] = show_map(flows, heading)
        if entries:
            saturated = show_saturation(entries, heading, data_line(flows))
            pictures[_file_name("gate_saturation", part)] = saturated
    (name, first), *others = pictures.items()
    text = "\n".join(report.lines())
    return replace(first, text=text, record=report.as_dict(), name=name, further=dict(others))


def _file_name(stem: str, part: str) -> str:
    """A file's name without its suffix, with the name of the part in letters that every disk takes."""
    return "_".join(word for word in (stem, re.sub(r"\W+", "_", part)) if word)
