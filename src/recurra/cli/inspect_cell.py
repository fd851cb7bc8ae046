"""`recurra inspect gradients --cell CELL`: gradients of an untrained cell on random inputs.

B batch (rows), T time, I input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recurra.cli.options import Options
from recurra.cli.runs import build_options
from recurra.cli.shown import add_output, show
from recurra.errors import ConfigError
from recurra.settings import MOST_LAYERS, check, setting
from recurra.tasks.common_views import GradientOptions


@dataclass(frozen=True)
class UntrainedOptions(GradientOptions):
    """An untrained cell, on random inputs, instead of a run.

    Attributes:
        cell: a built-in cell, or FILE.py:Class.
        input_size: width of the inputs.
        hidden_size: units of each layer.
        num_layers: layers.
        bidirectional: both directions.
    """

    cell: str = "lstm"
    input_size: int = setting(16, at_least=1)
    hidden_size: int = setting(64, at_least=1)
    num_layers: int = setting(1, at_least=1, at_most=MOST_LAYERS)
    bidirectional: bool = False

    def __post_init__(self) -> None:
        check(self)


def gradients(arguments: list[str]) -> None:
    """Measure how far gradients of fresh weights reach back, save pictures and numbers, and print a verdict."""
    options = Options(
        "inspect gradients",
        "Measure the gradients through time of a cell with fresh weights, on normally distributed inputs.",
        "--cell CELL [options]",
    )
    options.positional("run", "a run's folder, without --cell", optional=True)
    options.group("the cell, and what is measured")
    options.add_dataclass(UntrainedOptions, leave_out=("text",))
    add_output(options)
    values = options.parse(arguments)
    if values.run is not None:
        raise ConfigError("inspect gradients: expected a RUN or --cell CELL, got both.")
    chosen: UntrainedOptions = build_options(options, values, UntrainedOptions)

    import torch

    from recurra.cells import resolve
    from recurra.inspection.gradient_report import report_gradients, show_gradients as show_report
    from recurra.layers import Recurrent

    torch.manual_seed(chosen.seed)
    rnn = Recurrent(
        resolve(chosen.cell),
        chosen.input_size,
        chosen.hidden_size,
        chosen.num_layers,
        bidirectional=chosen.bidirectional,
    )
    x = torch.randn(chosen.rows, chosen.length, chosen.input_size)
    layers = [("", rnn, x, None)]
    report = report_gradients(layers, probes=chosen.probes, max_lag=chosen.max_lag, seed=chosen.seed)
    show(show_report(report, chosen.cell), "gradients", Path(values.out or "plots"), values.json)
