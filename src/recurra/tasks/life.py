"""The life that every task shares: train, resume, load.

A task says what is particular to it (its configuration, its files, its model, what its run is good for);
the rest is here: the run directory, what a resumed run is held against, and the weights to use.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch
from torch import nn

from recurra.cells import CELLS, Cell
from recurra.durable import write_aside
from recurra.errors import ConfigError, RunError
from recurra.layers.recurrent import Recurrent
from recurra.tasks.run import Run
from recurra.tasks.task import TASKS, AnyTask, Config, TaskConfig, find_task, task_of
from recurra.training.durable import json_bytes, read_json
from recurra.training.loop import Result, fit, initial_state, resolve_device
from recurra.training.resume import apply_weights, model_tensors
from recurra.training.run_directory import RunDirectory, check_free

TASK_FILE = "task.json"
AVERAGED = "averaged"
"""The key of `task.json` under which a mean of checkpoints says what it is the mean of."""
SPLITS = ("train", "valid", "test")


def train(
    config: TaskConfig | None = None,
    out: str | Path | None = None,
    cell: type[Cell] | None = None,
    overwrite: bool = False,
) -> Any:
    """Train a model into a new run directory.

    Args:
        config: everything but the place; its class says which task it is. None: a language model with all
            defaults, on the text of Python's documentation.
        out: the run directory, which must not exist, or be an empty folder, unless `overwrite`; by default
            `runs/` and the task's name.
        cell: a cell of your own, instead of `config.model.cell`.
        overwrite: replace a run that is there.

    Returns:
        The task's run (of a language model an `LMRun`), with the weights that `training.weights` names.
        Ctrl-C ends it early: `run.result` says so, and `resume` goes on.

    Raises:
        ConfigError, DataError, RunError, TrainingError: one line each that says what to do.
    """
    if config is None:
        config = find_task("lm").config()
    task = task_of(config)
    out = Path("runs") / task.name if out is None else out
    config = _with_cell(config, cell)
    check_free(out, overwrite)
    device = resolve_device(config.training.device)
    started = None if config.training.start_from is None else _Start(task, config.training.start_from, out)
    data = task.load_data(config, None if started is None else started.vocabulary)
    vocabulary = task.vocabulary_of(data)
    torch.manual_seed(config.training.seed)
    model = task.build_model(config, vocabulary, cell).to(device)
    if started is not None:
        started.give(model)
    job = task.job(model, data, config)
    job.batches(0)  # data that make none are refused before anything is written
    record = _task_record(task, config, model, data, cell)

    def write_files(folder: Path) -> None:
        task.save_vocabulary(vocabulary, folder)
        write_aside(folder / TASK_FILE, json_bytes(record))

    parts = (config.training, config.optimiser, config.schedule)
    known = _provenance(task, model, data)
    start = initial_state(job, *parts, *known)
    values = plain_config(config)
    directory = RunDirectory.create(out, values, write_files, model_tensors(model), start, overwrite)
    result = fit(job, *parts, directory, False, *known)
    return _finish(task, directory, config, model, data, result)


class _Start:
    """The run whose weights and vocabulary a new one starts with.

    Args:
        task: of the new run.
        path: the run to start from.
        out: the new run's folder.

    Raises:
        ConfigError: `out` is the run itself, or it is a run of another task.
        RunError: it is missing or damaged.
    """

    def __init__(self, task: AnyTask, path: str, out: str | Path) -> None:
        if Path(out).resolve() == Path(path).resolve():
            raise ConfigError(f"out: {out} is the run to start from; choose another folder.")
        own, self.directory, _ = open_run(path)
        if own.name != task.name:
            raise ConfigError(
                f"training.start_from: expected a run of the task {task.name}, got one of {own.name}: {path}."
            )
        self.vocabulary = task.load_vocabulary(self.directory.path)

    def give(self, model: nn.Module) -> None:
        """Copy the run's weights into a new model.

        Raises:
            ConfigError: the model is not that run's.
            RunError: the weights are missing or damaged.
        """
        path, weights = self.directory.path, self.directory.load_weights()
        remedy = f"take its settings over with --config {path}/config.yaml"
        recorded = read_json(path / TASK_FILE).get("program")
        if recorded != _program_digest(model):
            raise ConfigError(
                f"training.start_from: the cells of {path} are not this model's, model.cell: {remedy}."
            )
        try:
            apply_weights(model, weights, path)
        except RunError as error:
            raise ConfigError(
                f"training.start_from: the weights do not fit this model ({error}); {remedy}."
            ) from error


def resume(path: str | Path, cell: type[Cell] | None = None) -> Any:
    """Go on with a run from its last complete state, to the end that its configuration names.

    Args:
        path: the run directory.
        cell: the class of a run's own cell; not needed for built-in ones.

    Returns:
        The task's run, as `train` does.

    Raises:
        RunError: the run is damaged, or the data or the cell's program have changed since; or it is a mean of
            checkpoints, which no training has led to.
    """
    task, directory, config = open_run(path)
    averaged = read_json(directory.path / TASK_FILE).get(AVERAGED)
    if isinstance(averaged, dict):
        raise RunError(
            f"{directory.path}: is the mean of checkpoints of {averaged.get('run')}; resume that run, and average "
            "again."
        )
    data = task.load_data(config, task.load_vocabulary(directory.path))
    torch.manual_seed(config.training.seed)
    model = rebuild_model(task, directory, config, task.vocabulary_of(data), cell, strict=True)
    model.to(resolve_device(config.training.device))
    job = task.job(model, data, config)
    parts = (config.training, config.optimiser, config.schedule)
    result = fit(job, *parts, directory, True, *_provenance(task, model, data))
    return _finish(task, directory, config, model, data, result)


def load(path: str | Path, cell: type[Cell] | None = None, device: str = "cpu") -> Any:
    """Open a run to use it; its data files are not read.

    Args:
        path: the run directory.
        cell: the class of a run's own cell; not needed for built-in ones.
        device: "cpu", "cuda" or "auto".

    Returns:
        The task's run, as `train` does.

    Raises:
        RunError: the run is missing or damaged, or its cell's code was not named.
    """
    task, directory, config = open_run(path)
    vocabulary = task.load_vocabulary(directory.path)
    model = rebuild_model(task, directory, config, vocabulary, cell, strict=False)
    apply_weights(model, directory.load_weights(), directory.path)
    model.to(resolve_device(device)).eval()
    return task.open(directory, config, model, vocabulary)


def open_run(path: str | Path) -> tuple[AnyTask, RunDirectory, Any]:
    """A run's task, directory and configuration.

    Raises:
        RunError: the run is missing or damaged, or of a task that is not known.
    """
    directory = RunDirectory.open(path)
    name = read_json(directory.path / TASK_FILE).get("task")
    if not isinstance(name, str) or name not in TASKS:
        raise RunError(
            f"{directory.path}: expected a run of one of the tasks {', '.join(TASKS)}, got {name!r}; "
            "use the version of recurra that made it."
        )
    task = find_task(name)
    return task, directory, config_from_dict(task.config, directory.config, directory.path)


def rebuild_model(
    task: AnyTask,
    directory: RunDirectory,
    config: TaskConfig,
    vocabulary: Any,
    cell: type[Cell] | None,
    strict: bool,
) -> nn.Module:
    """The model of a run with new weights, its cell's program held against the one recorded.

    Args:
        task, directory, config, vocabulary: of the run.
        cell: the class of a run's own cell.
        strict: another program is an error; otherwise it is said on stderr.

    Raises:
        RunError: the code of the run's own cell was not named, or is not the original one.
        ConfigError: a cell is named and the model has none.
    """
    recorded = read_json(directory.path / TASK_FILE)
    name = getattr(config.model, "cell", None)
    if cell is None and "cell" in recorded and name not in CELLS:
        raise RunError(
            f"{directory.path}: the run's cell {name!r} is not built in; name its code, "
            f"--model.cell FILE.py:{name} or cell={name}."
        )
    model: nn.Module = task.build_model(config, vocabulary, cell)
    program = _program_digest(model)
    _check_used(cell, program)
    if recorded.get("program") != program:
        message = f"{directory.path}: the equations of cell {name!r} are not those the run was trained with"
        if strict:
            raise RunError(f"{message}; resume with the original code.")
        print(f"recurra: {message}; its results may differ.", file=sys.stderr)
    return model


def plain_config(config: TaskConfig) -> dict[str, Any]:
    """What `config.yaml` holds: every key resolved, data files and the run to start from by their absolute paths."""
    values = dataclasses.asdict(config)
    for key, files in values["data"].items():
        if key.startswith(SPLITS) and isinstance(files, list):
            values["data"][key] = [str(Path(path).resolve()) for path in files]
    if config.training.start_from is not None:
        values["training"]["start_from"] = str(Path(config.training.start_from).resolve())
    return values


def config_from_dict(config: type[Config], values: Mapping[str, Any], source: str | Path) -> Config:
    """The configuration in a run's `config.yaml`.

    Raises:
        RunError: a key is unknown, a section missing, or a value out of range; the file was changed or is
            foreign.
    """
    try:
        for section in dataclasses.fields(config):
            if section.name not in values:
                raise ValueError(f"no section {section.name!r}")
        return _build(config, values)
    except (TypeError, ValueError, ConfigError) as error:
        raise RunError(
            f"{source}/config.yaml: damaged or foreign ({error}); put the original file back."
        ) from error


def _build(kind: Any, values: Any) -> Any:
    """A dataclass from plain values, the dataclasses in it included."""
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a mapping of keys, got {values!r}")
    hints, fields = get_type_hints(kind), dict(values)
    for key, value in fields.items():
        if dataclasses.is_dataclass(hints.get(key)):
            fields[key] = _build(hints[key], value)
        elif get_origin(hints.get(key)) is tuple:
            fields[key] = tuple(value)  # YAML has lists only
    return kind(**fields)


def _with_cell(config: Config, cell: type[Cell] | None) -> Config:
    """The configuration with the name of the cell's class in it."""
    if cell is None or not hasattr(config.model, "cell"):
        return config
    model = dataclasses.replace(config.model, cell=cell.__name__)
    return dataclasses.replace(config, model=model)


def _check_used(cell: type[Cell] | None, program: str | None) -> None:
    if cell is not None and program is None:
        raise ConfigError(f"cell: this model has no recurrent cell, got {cell.__name__}; leave it out.")


def _task_record(
    task: AnyTask, config: TaskConfig, model: nn.Module, data: Any, cell: type[Cell] | None
) -> dict[str, Any]:
    """What `task.json` holds; nothing of a cell where the model has none."""
    program = _program_digest(model)
    _check_used(cell, program)
    recurrent = {} if program is None else {"cell": config.model.cell, "program": program}
    return {"task": task.name, "format": 1, **recurrent, "digests": task.digests(data)}


def _provenance(task: AnyTask, model: nn.Module, data: Any) -> tuple[dict[str, str], dict[str, str]]:
    """What a resumed run is held against: digests that must be the same, facts whose change is said."""
    fingerprint = task.digests(data)
    program = _program_digest(model)
    if program is None:
        return fingerprint, {}
    backends = [module.choose_backend() for module in model.modules() if isinstance(module, Recurrent)]
    return fingerprint | {"model.cell": program}, {"backend": ", ".join(dict.fromkeys(backends))}


def _program_digest(model: nn.Module) -> str | None:
    """The digest of the cell's program (of several, all of them); None where the model has no cell."""
    programs = [module.digest for module in model.modules() if isinstance(module, Cell)]
    return "+".join(dict.fromkeys(programs)) or None


def _finish(
    task: AnyTask, directory: RunDirectory, config: TaskConfig, model: nn.Module, data: Any, result: Result
) -> Run[Any]:
    """The run with the weights to use, and its training curves drawn."""
    from recurra.inspection.curves import save_training

    apply_weights(model, directory.load_weights(), directory.path)
    model.eval()
    records = directory.metrics()
    if records:  # an interruption may come before the first evaluation
        save_training(records, directory.path / "plots" / "training.png")
    return task.open(directory, config, model, task.vocabulary_of(data), data, result)
