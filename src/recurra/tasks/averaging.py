"""The mean of a run's kept checkpoints as a run of its own (Vaswani et al. 2017, section 6.1), for any task."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells import Cell
from recurra.durable import write_aside
from recurra.errors import ConfigError, RunError
from recurra.tasks.life import AVERAGED, TASK_FILE, open_run, rebuild_model
from recurra.training.counters import Counters
from recurra.training.durable import json_bytes, read_json, read_tensors
from recurra.training.loop import Job, resolve_device
from recurra.training.resume import apply_weights, check_fingerprint, model_tensors
from recurra.training.run_directory import RESUME, VALUES, RunDirectory, check_free

VALID = "valid_"


@dataclass(frozen=True)
class Average:
    """What `average` made.

    Attributes:
        task: the name of the runs' task.
        directory: the new run.
        steps: of the checkpoints it is the mean of.
        figures: its validation, named as in `metrics.jsonl`.
        best_step: of the best evaluation of the run it was made from.
        best_figures: that evaluation.
    """

    task: str
    directory: RunDirectory
    steps: list[int]
    figures: dict[str, float]
    best_step: int
    best_figures: dict[str, Any]


def average(
    path: str | Path, out: str | Path, cell: type[Cell] | None = None, overwrite: bool = False
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
    task, directory, config = open_run(path)
    if Path(out).resolve() == directory.path.resolve():
        raise ConfigError(f"out: {out} is the run to average; choose another folder.")
    check_free(out, overwrite)
    checkpoints = directory.checkpoints()
    if len(checkpoints) < 2:
        raise RunError(
            f"{directory.path}: expected at least 2 checkpoints, got {len(checkpoints)}; train with "
            "--training.keep 5 to have some to average."
        )
    best_step, best = _best_evaluation(directory)
    data = task.load_data(config, task.load_vocabulary(directory.path))
    vocabulary = task.vocabulary_of(data)
    record = read_json(directory.path / TASK_FILE)
    check_fingerprint(record.get("digests", {}), task.digests(data), directory.path)
    model = rebuild_model(task, directory, config, vocabulary, cell, strict=False)
    apply_weights(model, mean_weights(model, checkpoints.values()), directory.path)
    model.to(resolve_device(config.training.device))
    figures = _evaluate(task.job(model, data, config), model)
    steps = list(checkpoints)
    record[AVERAGED] = {"run": str(directory.path.resolve()), "steps": steps}

    def write_files(folder: Path) -> None:
        task.save_vocabulary(vocabulary, folder)
        write_aside(folder / TASK_FILE, json_bytes(record))

    line = {"step": steps[-1], **_plain(figures), AVERAGED: steps, "best": {"step": best_step, **best}}
    weights = model_tensors(model)
    created = RunDirectory.create(out, directory.config, write_files, weights, None, overwrite, [line])
    return Average(task.name, created, steps, figures, best_step, best)


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


@torch.no_grad()
def _evaluate(job: Job[Any], model: nn.Module) -> dict[str, float]:
    """What the job's evaluation says of the model, named as in `metrics.jsonl`."""
    model.eval()
    scores = job.evaluate()
    scores.pop("criterion", None)
    return {VALID + name: float(value) for name, value in scores.items()}


def _best_evaluation(directory: RunDirectory) -> tuple[int, dict[str, Any]]:
    """The step of the run's best evaluation, and its figures."""
    folder = directory.path / RESUME / directory.latest
    values = read_json(folder / VALUES).get("counters")
    if not isinstance(values, dict):
        raise RunError(f"{folder}: values.json has no mapping 'counters'; damaged or foreign.")
    step = Counters.unpack(values, folder).best_step
    for row in directory.metrics():
        if step is not None and row.get("step") == step:
            return step, {name: value for name, value in row.items() if name.startswith(VALID)}
    raise RunError(
        f"{directory.path}: has no evaluation to hold the mean against; `recurra resume {directory.path}` goes on "
        "to one."
    )


def _plain(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN and no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
