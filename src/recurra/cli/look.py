"""`recurra inspect gradients` and `recurra inspect gates`: numbers and pictures of what a model does.

B batch (rows), T time, I input, V vocabulary.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.cli.options import Options, check_text
from recurra.cli.run_options import add_cell, load_run
from recurra.errors import ConfigError, DataError

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from numpy.typing import NDArray
    from torch import Tensor

    from recurra.layers import Recurrent
    from recurra.tasks.language_run import LMRun

LONGEST = 10_000


def gradients(arguments: list[str]) -> None:
    """Measure how far gradients reach back, save pictures and numbers, and print a verdict per layer."""
    options = _gradient_options()
    values = options.parse(arguments)
    _check(values)
    from recurra.inspection import gradients

    rnn, x, folder, metrics = _of_a_run(values) if values.run is not None else _untrained(values)
    report = gradients.inspect_gradients(
        rnn,
        x,
        folder,
        metrics,
        title=str(values.run or values.cell),
        probes=values.probes,
        max_lag=values.max_lag,
        seed=values.seed,
    )
    for file in report.files:
        print(f"recurra: wrote {file}", file=sys.stderr)
    print("\n".join(report.lines()))


def gates(arguments: list[str]) -> None:
    """Colour a text by the activation of each unit."""
    options = Options(
        "inspect gates",
        "Colour a text by what each unit of a trained model does as it reads it, from the zero state, as Karpathy, "
        "Johnson & Li 2015 do. Saves a picture (PNG) and a page (HTML).",
        "RUN --text TEXT [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is coloured")
    options.add("text", str, None, "the text to read", "TEXT")
    options.add(
        "what",
        str | None,
        None,
        "a state or gate by name; without it, the second state, or the only one",
        "NAME",
    )
    options.add("layer", int | None, None, "which layer, counted from 1; without it, the last", "L")
    options.add("units", int, 8, "how many units the picture shows, those that vary most", "N")
    options.add("out", str, None, "folder for what is saved; without it, the run's plots", "FOLDER")
    add_cell(options)
    values = options.parse(arguments)
    if values.text is None:
        raise ConfigError("--text: expected a text to read, got none; add --text TEXT.")

    import torch

    from recurra.inspection.gates import inspect_gates

    run: LMRun = load_run(values, "lm")
    if run.model.note_sets:
        raise ConfigError("inspect gates: a model of note sets has no text to colour; use inspect gradients.")
    ids = run.vocabulary.encode_line(check_text("--text", values.text))
    symbols = ["\n" if index == run.vocabulary.line_end else run.vocabulary.symbols[index] for index in ids]
    folder = Path(values.out or run.path / "plots")
    tokens = torch.from_numpy(ids).to(run.device)
    for file in inspect_gates(run.model, tokens, symbols, folder, values.what, values.layer, values.units):
        print(file)


def _gradient_options() -> Options:
    options = Options(
        "inspect gradients",
        "Measure the derivative of each layer's output by its states at earlier steps, as a norm over the lag, 1 at "
        "lag 0; and how often gates are saturated. Saves a map, curves and the numbers, and says in words whether "
        "gradients vanish, hold or explode.",
        "[RUN | --cell CELL] [options]",
    )
    options.positional("run", "the run's folder", optional=True)
    options.group("the sequence, and what is measured")
    options.add("length", int, 200, f"steps, 2 to {LONGEST}", "T")
    options.add("rows", int, 4, "sequences to take the mean over", "B")
    options.add("max-lag", int | None, None, "how many steps to go back; without it, to the first", "LAG")
    options.add(
        "probes", int | None, None, "vectors per derivative; without it, exact where that is affordable", "P"
    )
    options.add("seed", int, 1, "of probes, and of untrained weights and inputs", "SEED")
    options.add(
        "out", str, None, "folder for what is saved; without it, the run's plots, or ./plots", "FOLDER"
    )
    options.group("a run")
    options.add("text", str, None, "text to measure on; without it, the run's validation text", "TEXT")
    add_cell(options)
    options.group("an untrained cell, on random inputs, instead of a run")
    options.add("cell", str, None, "a built-in cell, or FILE.py:Class", "CELL")
    options.add("input-size", int, 16, "width of the inputs", "I")
    options.add("hidden-size", int, 64, "units of each layer", "H")
    options.add("num-layers", int, 1, "layers", "L")
    options.flag("bidirectional", "both directions")
    return options


def _check(values: Namespace) -> None:
    """Raise unless there is one thing to measure, over sizes in range."""
    if (values.run is None) == (values.cell is None):
        got = "neither" if values.run is None else "both"
        raise ConfigError(f"inspect gradients: expected a RUN or --cell CELL, got {got}.")
    if not 2 <= values.length <= LONGEST:
        raise ConfigError(f"--length: expected 2 to {LONGEST} steps, got {values.length}.")
    for name in ("rows", "input-size", "hidden-size", "num-layers"):
        if (value := values[name.replace("-", "_")]) < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {value}.")


def _untrained(values: Namespace) -> tuple[Recurrent, Tensor, Path, list[dict[str, Any]]]:
    """Layers of a cell with fresh weights, normal inputs `[B, T, I]`, the folder, and no metrics."""
    import torch

    from recurra.cells import resolve
    from recurra.layers import Recurrent

    cell = resolve(values.cell)
    torch.manual_seed(values.seed)
    rnn = Recurrent(
        cell, values.input_size, values.hidden_size, values.num_layers, bidirectional=values.bidirectional
    )
    x = torch.randn(values.rows, values.length, values.input_size)
    return rnn, x, Path(values.out or "plots"), []


def _of_a_run(values: Namespace) -> tuple[Recurrent, Tensor, Path, list[dict[str, Any]]]:
    """A run's layers, their inputs `[B, T, I]` on a text, the folder, and the lines of its metrics."""
    run: LMRun = load_run(values, "lm")
    inputs = _text_inputs(run, values.text, values.rows, values.length)
    return (
        run.model.rnn,
        run.model.embed(inputs.to(run.device)).detach(),
        Path(values.out or run.path / "plots"),
        run.directory.metrics(),
    )


def _text_inputs(run: LMRun, text: str | None, rows: int, length: int) -> Tensor:
    """What the model reads on `text`, or on its validation text: ids `[B, T]`, or note sets `[B, T, V]`.

    Each row starts as a sequence does, with the zero vector; rows and steps are fewer where the text is short.
    """
    import numpy as np
    import torch

    sequences = _sequences(run, text)
    if len(sequences) == 1:
        whole = sequences[0]
        rows = max(1, min(rows, len(whole) // length))
        sequences = [whole[row * (len(whole) // rows) :] for row in range(rows)]
    sequences = sorted(sequences, key=len, reverse=True)[:rows]
    steps = min(length, len(sequences[-1]))
    if steps < 2:
        raise DataError(
            f"the text to measure on: expected at least 2 tokens, got {steps}; give a longer one."
        )
    if (len(sequences), steps) != (rows, length):
        print(f"recurra: the text is short; {len(sequences)} rows of {steps} steps.", file=sys.stderr)
    symbols = torch.from_numpy(np.stack([sequence[:steps] for sequence in sequences]).astype(np.int64))
    start = torch.full_like(symbols[:, :1], 0 if run.model.note_sets else -1)
    return torch.cat([start, symbols[:, :-1]], dim=1)


def _sequences(run: LMRun, text: str | None) -> list[NDArray[Any]]:
    """The symbols of a text: one array, or, for note sets, one for each sequence."""
    from recurra.data.corpus import load_corpus
    from recurra.data.notes import NoteSequences

    if text is not None:
        return [run.vocabulary.encode(check_text("--text", text))]
    valid = load_corpus(run.data, run.vocabulary).valid
    return valid.sequences if isinstance(valid, NoteSequences) else [valid.ids]
