"""The mean of a run's kept checkpoints as a run of its own (Vaswani et al. 2017, section 6.1), for any task."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from recurra.cells import Cell
from recurra.cells.code import LONGEST
from recurra.durable import finite, whole_path
from recurra.errors import ConfigError, RunError
from recurra.metrics.records import VALID, evaluations
from recurra.settings import plain
from recurra.tasks.given import path_of
from recurra.tasks.job import TaskJob
from recurra.tasks.life import AVERAGED, CODE_FILE, check_own_cell, digests_of, rebuild_model, write_files
from recurra.tasks.opened import FORMAT, OpenedRun, open_run
from recurra.training.counters import Counters
from recurra.training.device import resolve_device
from recurra.training.durable import read_json, read_tensors
from recurra.training.resume import apply_weights, check_fingerprint, current_values, model_tensors
from recurra.training.run_directory import VALUES, RunDirectory
from recurra.training.run_place import RESUME, check_free


@dataclass(frozen=True)
class Average:
    """What `average` made.

    Attributes:
        source: the run it was made from.
        directory: the new run.
        steps: of the checkpoints it is the mean of.
        figures: its validation, named as in `metrics.jsonl`.
        best_step: of the best evaluation of the run it was made from.
        best_figures: that evaluation.
    """

    source: OpenedRun
    directory: RunDirectory
    steps: list[int]
    figures: dict[str, float]
    best_step: int
    best_figures: dict[str, Any]


def average(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    cell: type[Cell] | None = None,
    overwrite: bool = False,
) -> Average:
    """Write the mean of the checkpoints that a run keeps as a new run, evaluated on the validation data.

    The new run is used as any other, but cannot be resumed. Its `task.json` names what it is the mean of; its
    `metrics.jsonl` is one line, the mean's evaluation and under `best` the best of the run it was made from.

    Args:
        path: a run that keeps at least two checkpoints (`training.keep`).
        out: the new run's folder, which must not exist, or be an empty folder, unless `overwrite`.
        cell: the class of a run's own cell; not needed for built-in ones.
        overwrite: replace a run that is there.

    Raises:
        ConfigError: `out` is the run itself.
        RunError: there are fewer than two checkpoints, one is damaged, the run was never evaluated, or its data
            have changed since.
    """
    check_own_cell(cell)
    opened, out = open_run(path_of(path, "path")), path_of(out, "out")
    directory, config = opened.directory, opened.config
    if whole_path(out) == whole_path(directory.path):
        raise ConfigError(f"out: {out} is the run to average; choose another folder.")
    check_free(out, overwrite)
    checkpoints = directory.checkpoints()
    if len(checkpoints) < 2:
        raise RunError(
            f"{directory.path}: expected at least 2 checkpoints, got {len(checkpoints)}; train with "
            "--training.keep 5 to have some to average."
        )
    best_step, best = _best_evaluation(directory)
    data = opened.task.load_data(config, opened.vocabularies)
    check_fingerprint(opened.record.get("digests", {}), digests_of(data), directory.path)
    model = rebuild_model(opened, cell, strict=False)
    apply_weights(model, mean_weights(model, checkpoints.values()), directory.path)
    model.to(resolve_device(config.training.device)).eval()
    evaluation = TaskJob(opened.task, model, data, config).evaluate()
    figures = {VALID + name: value for name, value in evaluation.figures().items()}
    steps = list(checkpoints)
    made_of = {"run": str(whole_path(directory.path)), "steps": steps}
    record = opened.record | {"format": FORMAT, AVERAGED: made_of}
    line = {"step": steps[-1], **finite(figures), AVERAGED: steps, "best": {"step": best_step, **best}}
    code = directory.path / CODE_FILE
    text = code.read_bytes()[:LONGEST] if code.is_file() and not code.is_symlink() else None
    files, weights = partial(write_files, record, data, text), model_tensors(model)
    created = RunDirectory.create(out, plain(config), files, weights, None, overwrite, [line])
    created.unlock()
    return Average(opened, created, steps, figures, best_step, best)


def mean_weights(model: nn.Module, files: Iterable[Path]) -> dict[str, Tensor]:
    """The mean of each tensor over the files, summed in float64, in its own type.

    Args:
        model: which the weights must fit; it is left with those of the last file.
        files: safetensors, at least one.

    Raises:
        RunError: a file is damaged, does not fit, or holds a value that is not finite.
    """
    sums: dict[str, Tensor] = {}
    count = 0
    for file in files:
        tensors = read_tensors(file)
        apply_weights(model, tensors, file)
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise RunError(f"{file}: {name} holds values that are not finite; remove this checkpoint.")
            sums[name] = sums.get(name, 0) + tensor.double()
        count += 1
    return {name: (total / count).to(model_tensors(model)[name].dtype) for name, total in sums.items()}


def _best_evaluation(directory: RunDirectory) -> tuple[int, dict[str, Any]]:
    """The step of the run's best evaluation, and its figures."""
    folder = directory.path / RESUME / directory.latest
    values = current_values(read_json(folder / VALUES), folder).get("counters")
    if not isinstance(values, dict):
        raise RunError(f"{folder}: values.json has no mapping 'counters'; damaged or foreign.")
    step = Counters.unpack(values, folder).best_step
    for row in evaluations(directory.metrics()):
        if step is not None and row.get("step") == step:
            return step, {name: value for name, value in row.items() if name.startswith(VALID)}
    raise RunError(
        f"{directory.path}: has no evaluation to compare the mean with; `recurra resume {directory.path}` continues "
        "to one."
    )
