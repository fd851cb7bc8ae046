"""What training says of itself before it begins: a row for each thing, on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from recurra.cells import Cell
from recurra.engine.backend import Options
from recurra.engine.choose import automatic
from recurra.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from recurra.training.config import FitConfig
    from recurra.training.counters import Counters
    from recurra.training.job import Settings

Row = tuple[str, str]
"""What it is of, and what is said."""

LABEL_WIDTH = 12
SLOW_SECONDS = 1.0
BACKENDS = {
    "cpu": "generated kernels, compiled where they are used first",
    "gpu": "generated kernels, compiled where they are used first",
    "vendor": "PyTorch's own kernels",
    "reference": "a loop of PyTorch's operations",
    "textbook": "a loop of the cell's own steps",
}


def show(rows: Iterable[Row]) -> None:
    """Print rows, their texts below each other."""
    for label, text in rows:
        print(f"{label:<{LABEL_WIDTH}}{text}", file=sys.stderr, flush=True)


@contextmanager
def slow(row: Row) -> Iterator[None]:
    """Print a row once what is done inside has taken a second."""
    timer = threading.Timer(SLOW_SECONDS, show, [[row]])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def model(module: nn.Module) -> list[Row]:
    """The layers and parameters of a model, and what runs its cells, and why."""
    parameters = f"{sum(parameter.numel() for parameter in module.parameters()):,} parameters"
    stacks = [(name, inner) for name, inner in module.named_modules() if isinstance(inner, Recurrent)]
    named = len(stacks) > 1
    layers = [
        f"{_name(name)} {_layers(stack)}".lstrip() if named else _layers(stack) for name, stack in stacks
    ]
    rows = [("model", "; ".join([*(layers or [type(module).__name__]), parameters]))]
    backends = dict.fromkeys(_backend(stack) for _, stack in stacks)
    return [*rows, *(("backend", backend) for backend in backends)]


def machine(settings: Settings, device: torch.device) -> Row:
    """Where it is computed and how."""
    facts = settings.facts(device)
    number = int(facts["threads"])
    threads = f"{number} thread{'' if number == 1 else 's'}"
    parts = [torch.cuda.get_device_name(device)] if device.type == "cuda" else [device.type, threads]
    return "device", ", ".join([*parts, settings.training.precision])


def limit(config: FitConfig, counters: Counters) -> Row:
    """When the run ends, in updates where that is known, and where a resumed one stands."""
    parts = []
    if config.steps is not None:
        epochs = config.steps / counters.epoch_length * config.accumulate
        parts.append(f"{config.steps:,} updates ({epochs:.3g} epochs)")
    updates_per_epoch = -(-counters.epoch_length // config.accumulate)
    if config.epochs is not None:
        parts.append(f"{config.epochs:g} epochs ({_count(config.epochs * updates_per_epoch)} updates)")
    if config.minutes is not None:
        parts.append(f"{config.minutes:g} minutes (an epoch is {updates_per_epoch:,} updates)")
    if config.patience is not None:
        parts.append(f"{config.patience} evaluations without a better one")
    stands = f"; resumed after {counters.step:,} updates" if counters.step else ""
    return "limit", ", or ".join(parts) + stands


def _name(path: str) -> str:
    """Such as `decoder` of `decoder.layers.0`."""
    return ".".join(part for part in path.split(".") if part != "layers" and not part.isdigit())


def _layers(stack: Recurrent) -> str:
    """Such as `LSTM, 2 layers of 256`."""
    cell = next((type(inner).__name__ for inner in stack.modules() if isinstance(inner, Cell)), "")
    sizes = list(dict.fromkeys(stack.hidden_sizes))
    count = f"{stack.num_layers} layer{'' if stack.num_layers == 1 else 's'}"
    both = " in both directions" if stack.bidirectional else ""
    return f"{cell}, {count} of {', '.join(map(str, sizes))}{both}"


def _backend(stack: Recurrent) -> str:
    """The backend that runs a stack; where it was not named, what is in the way of those that come before it."""
    name = stack.choose_backend()
    said = f"{name}: {BACKENDS.get(name, 'of its own')}"
    if stack.backend != "auto":
        return f"{said} (named by the model's options)"
    first = next(inner for inner in stack.modules() if isinstance(inner, Cell))
    parameter = next(stack.parameters(), torch.empty(0))
    options = Options(parameter.device.type, parameter.dtype)
    obstacles = []
    for backend in automatic(first.program, options):
        if name == backend.NAME:
            break
        reason = backend.can_run(first.program, options)
        if reason is not None:
            obstacles.append(f"; not {backend.NAME}, since {reason}")
    return said + "".join(obstacles)


def _count(number: float) -> str:
    """A number of updates, in digits as far as these can be read."""
    return f"{round(number):,}" if number < 1e15 else f"{number:.3g}"
