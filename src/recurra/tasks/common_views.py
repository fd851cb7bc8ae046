"""What every task's runs can show: the gates of their recurrent layers, and gradients through time.

B batch (rows), T time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.contracts import Batch
from recurra.errors import ConfigError, DataError, nearest
from recurra.layers.mode import evaluating
from recurra.layers.recurrent import Recurrent
from recurra.settings import check, setting
from recurra.tasks.task import Reading, View

if TYPE_CHECKING:
    from recurra.inspection.shown import Shown
    from recurra.tasks.run import Run

LayerStack = tuple[str, Recurrent, Tensor, Tensor | None]

LONGEST = 10_000


@dataclass(frozen=True)
class GateOptions:
    """What is coloured.

    Attributes:
        text: the text to read (default: the first validation example, its steps numbered).
        what: a state or gate by name (default: the second state, or the only one).
        stack: which stack of layers, where a model has several: encoder, decoder.
        layer: which layer of the stack, counted from 1 (default: the last).
        direction: forward or backward, of a bidirectional layer.
        units: how many units the picture shows, those that vary most.
    """

    text: str | None = None
    what: str | None = None
    stack: str | None = None
    layer: int | None = setting(None, at_least=1)
    direction: str = setting("forward", names=("forward", "backward"))
    units: int = setting(8, at_least=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class GradientOptions:
    """The sequence, and what is measured.

    Attributes:
        text: text to measure on (default: the validation data).
        length: steps, 2 to 10,000.
        rows: sequences to take the mean over.
        max_lag: how many steps to go back (default: to the first).
        probes: vectors per derivative (default: exact where that is affordable).
        seed: seed of the probes.
    """

    text: str | None = None
    length: int = setting(200, at_least=2, at_most=LONGEST)
    rows: int = setting(4, at_least=1)
    max_lag: int | None = setting(None, at_least=1)
    probes: int | None = setting(None, at_least=1)
    seed: int = 1

    def __post_init__(self) -> None:
        check(self)


def show_gates(run: Run, options: GateOptions) -> Shown:
    """A sequence coloured by what the units of one layer do as it is read, from the zero state.

    Raises:
        ConfigError: the model has no recurrent layers, or none of that name, number or direction.
    """
    from recurra.inspection.activations import activations_of
    from recurra.inspection.gates_picture import show_gates as show

    if options.text is None:
        reading = Reading(_one_example(run), {})
    else:
        reading = run.task.reading(options.text, run.config, run.vocabularies)
    name, layers, x, lengths = _stack_named(run, layers_of(run, reading.batch.to(run.device)), options.stack)
    steps = x.shape[1] if lengths is None else int(lengths[0])
    labels = list(reading.symbols.get(name, map(str, range(1, steps + 1))))
    skip = steps - len(labels)
    activations = activations_of(
        layers,
        x[:1, :steps],
        [*[""] * skip, *labels],
        options.what,
        options.layer,
        skip=skip,
        direction=options.direction,
    )
    return replace(show(activations, options.units), name=activations.file_name)


def show_gradients(run: Run, options: GradientOptions) -> Shown:
    """The derivative of each layer's output by its states at earlier steps, as a norm over the lag.

    Raises:
        ConfigError: the model has no recurrent layers.
        DataError: there are fewer than two steps to measure on.
    """
    from recurra.inspection.gradient_report import report_gradients, show_gradients as show_report

    batch = longest_rows(_batches_to_measure(run, options), options.rows, options.length)
    stacks = layers_of(run, batch.to(run.device))
    report = report_gradients(
        stacks,
        run.directory.metrics(),
        probes=options.probes,
        max_lag=options.max_lag,
        seed=options.seed,
    )
    return show_report(report, str(run.path))


@torch.no_grad()
def layers_of(run: Run, batch: Batch) -> list[LayerStack]:
    """The recurrent layers of a run's model, as they read a batch in evaluation mode.

    Raises:
        ConfigError: it has none.
    """
    with evaluating(run.model):
        stacks: list[LayerStack] = run.model.layers(batch)  # type: ignore[operator]
    if not stacks:
        raise ConfigError(f"{run.path}: this model has no recurrent layers to look into.")
    return [(name, layers, x.detach(), lengths) for name, layers, x, lengths in stacks]


def _stack_named(run: Run, stacks: Sequence[LayerStack], name: str | None) -> LayerStack:
    known = [stack[0] for stack in stacks]
    if name is None:
        return stacks[-1]
    if name not in known:
        expected = ", ".join(filter(None, known)) or "none, as this model has one stack of layers"
        raise ConfigError(f"stack: expected one of {expected}, got {name!r}.{nearest(name, known)}")
    return stacks[known.index(name)]


def _one_example(run: Run) -> Batch:
    """The first row of the first validation batch."""
    return first_rows(run.task.batches(run.data.valid, run.config, None)[0], 1)


def _batches_to_measure(run: Run, options: GradientOptions) -> Sequence[Batch]:
    if options.text is None:
        return run.task.batches(run.data.valid, run.config, None)
    return [run.task.reading(options.text, run.config, run.vocabularies).batch]


def longest_rows(batches: Sequence[Batch], rows: int, length: int) -> Batch:
    """Rows of at least two steps to measure on: the longest there are, of at most so many steps.

    A batch that continues the one before it is joined to it. One row that is long enough is cut into several.

    Raises:
        DataError: no row has two steps.
    """
    batch = _split_row(_joined(batches, length), rows, length)
    present = batch.lengths
    if present is not None:
        order = present.argsort(descending=True, stable=True)[:rows]
        batch = _select(batch, order)
    else:
        batch = first_rows(batch, rows)
    steps = _steps(batch)
    if steps < 2:
        raise DataError(f"the text to measure on: expected at least 2 steps, got {steps}; give a longer one.")
    if (len(batch), steps) != (rows, length):
        many = "row" if len(batch) == 1 else "rows"
        print(f"recurra: the data are short: {len(batch)} {many} of {steps} steps.", file=sys.stderr)
    return batch


def _joined(batches: Sequence[Batch], length: int) -> Batch:
    """The last group of batches that continue each other, joined along time as far as it is needed."""
    first = len(batches) - 1
    while batches[first].continues:
        first -= 1
    group, steps = [batches[first]], _steps(batches[first])
    for index in range(first + 1, len(batches)):
        following = batches[index]
        if steps >= length or len(following) != len(group[0]):
            break
        group.append(following)
        steps += _steps(following)
    if len(group) == 1 or not all(isinstance(one.inputs, Tensor) for one in group):
        return group[0]
    lengths = None
    if any(one.lengths is not None for one in group):
        lengths = torch.stack([_lengths(one) for one in group]).sum(0)
    targets = [one.targets for one in group if one.targets is not None]
    return Batch(
        torch.cat([one.inputs for one in group if isinstance(one.inputs, Tensor)], 1),
        torch.cat(targets, 1) if targets and targets[0].ndim > 1 else group[0].targets,
        sum(one.tokens for one in group),
        lengths,
    )


def _split_row(batch: Batch, rows: int, length: int) -> Batch:
    """A batch of one long row as several rows of its parts, each of at most `length` steps; others are cut to it."""
    inputs = batch.inputs
    if not isinstance(inputs, Tensor):
        return batch
    if len(batch) == 1 and rows > 1 and batch.lengths is None and inputs.shape[1] >= 2 * length:
        count = min(rows, inputs.shape[1] // length)
        part = inputs.shape[1] // count
        inputs = torch.cat([inputs[:, row * part : row * part + length] for row in range(count)])
        return replace(batch, inputs=inputs, targets=None, tokens=0)
    if batch.target_lengths is not None or inputs.ndim < 2:
        return batch
    lengths = None if batch.lengths is None else batch.lengths.clamp(max=length)
    targets = batch.targets
    cut = targets[:, :length] if targets is not None and targets.ndim > 1 else targets
    return replace(batch, inputs=inputs[:, :length], targets=cut, lengths=lengths)


def first_rows(batch: Batch, rows: int) -> Batch:
    """The first rows of a batch."""
    return _select(batch, torch.arange(min(rows, len(batch))))


def _select(batch: Batch, rows: Tensor) -> Batch:
    def each(tensor: Any) -> Any:
        return None if tensor is None else tensor[rows.to(tensor.device)]

    inputs = batch.inputs
    return replace(
        batch,
        inputs=each(inputs) if isinstance(inputs, Tensor) else {k: each(v) for k, v in inputs.items()},
        targets=each(batch.targets),
        lengths=each(batch.lengths),
        target_lengths=each(batch.target_lengths),
    )


def _steps(batch: Batch) -> int:
    """The steps of the longest row."""
    if batch.lengths is not None:
        return int(batch.lengths.max())
    inputs = batch.inputs if isinstance(batch.inputs, Tensor) else next(iter(batch.inputs.values()))
    return inputs.shape[1] if inputs.ndim > 1 else 1


def _lengths(batch: Batch) -> Tensor:
    return torch.full((len(batch),), _steps(batch)) if batch.lengths is None else batch.lengths


COMMON_VIEWS: dict[str, View] = {
    "gradients": View(
        "Measure the derivative of each layer's output by its states at earlier steps, as a norm over the lag, 1 at "
        "lag 0; and how often gates are saturated. Saves a map, curves and the numbers, and says in words whether "
        "gradients vanish, hold or explode.",
        "[options]",
        GradientOptions,
        show_gradients,
    ),
    "gates": View(
        "Colour a sequence by what each unit of a trained model does as it reads it, from the zero state, as Karpathy, "
        "Johnson & Li 2015 do. Saves a picture (PNG) and a page (HTML).",
        "--text TEXT [options]",
        GateOptions,
        show_gates,
    ),
}
