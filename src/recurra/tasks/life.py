"""The life that every task shares: train, resume, load.

A task says what is particular to it (its configuration, its files, its model, its predictions); the rest is here.
`train` reads the data, builds the model, and hands both to the training loop, which makes and fills the run.
`resume` opens a run, reads its data again, checks that they and the equations are those it began with,
and continues. `load` opens a run without its data. All three return a `Run`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recurra import __version__
from recurra.cells import CELLS, Cell
from recurra.cells.code import Code, code_of
from recurra.cells.drawing import not_drawing
from recurra.data.dataset import Dataset
from recurra.durable import whole_path, write_atomic
from recurra.errors import ConfigError, RunError, quoted
from recurra.layers.arguments import check_cell
from recurra.layers.recurrent import Recurrent
from recurra.settings import plain
from recurra.tasks.automatic import describe_chosen, settled
from recurra.tasks.changes import change, check_files, check_regular, judged_by, reading
from recurra.tasks.given import path_of
from recurra.tasks.job import TaskJob
from recurra.tasks.memory import check_memory
from recurra.tasks.opened import FORMAT, TASK_FILE, OpenedRun, open_run
from recurra.tasks.record import MADE_BY
from recurra.tasks.registry import TASKS, find_task, task_of
from recurra.tasks.run import Run
from recurra.tasks.task import AnyTask, Config, TaskConfig
from recurra.training import overview
from recurra.training.device import resolve_device
from recurra.training.durable import json_bytes
from recurra.training.job import Settings
from recurra.training.loop import fit
from recurra.training.result import Result
from recurra.training.resume import apply_weights, model_tensors
from recurra.training.run_directory import ResumeState, RunDirectory
from recurra.training.run_place import check_free

CODE_FILE = "cell.py.txt"
"""The text of a user's own cell, for reading: nothing executes it."""

CODE = "cell_code"
"""The key of `task.json` under which a run says which file that text is of, and its digest."""

AVERAGED = "averaged"
"""The key of `task.json` under which a mean of checkpoints says what it is the mean of."""


def train(
    config: TaskConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    cell: type[Cell] | None = None,
    overwrite: bool = False,
) -> Run:
    """Train a model into a new run directory.

        run = recurra.train(LMConfig(data=TextConfig(train=["poems.txt"])), out="runs/poems")

    Args:
        config: everything but the place; its class says which task it is. None: a language model with all
            defaults, on the text of Python's documentation.
        out: the run directory, which must not exist, or be an empty folder, unless `overwrite`; by default
            `runs/` and the task's name.
        cell: a cell of your own, instead of `config.model.cell`.
        overwrite: replace a run that is there.

    Returns:
        The run, with the weights that `training.weights` names. Ctrl-C ends it early: `run.result` says so, and
        `resume` continues it.

    Raises:
        ConfigError, DataError, RunError, TrainingError: one line each that says what to do.
    """
    if config is None:
        config = find_task("lm").config()
    task = task_of(config)
    out = Path("runs") / task.name if out is None else path_of(out, "out")
    check_own_cell(cell)
    config = _with_cell(config, cell)
    check_free(out, overwrite)
    device = resolve_device(config.training.device)
    source = None if config.training.start_from is None else _open_source(task, config, out)
    check_regular(config)
    with overview.slow(reading(config, building=source is None)):
        config, chosen = settled(task, config, source)
        data = task.load_data(config, None if source is None else source.vocabularies)
    check_memory(lambda: task.build_model(config, data.vocabularies, cell), config.optimiser.name, device)
    torch.manual_seed(config.training.seed)
    if source is None:
        model = task.build_model(config, data.vocabularies, cell)
    else:
        model = _started_from(source, task, config, data, cell)
    model.to(device)
    program = program_digest(model)
    _check_used(cell, program)
    code = None if cell is None or config.model.cell in CELLS else code_of(cell)
    record = {
        "task": task.name,
        "format": FORMAT,
        **_cell_record(config, program, code),
        "digests": digests_of(data),
    }

    made: list[RunDirectory] = []

    def create(state: ResumeState) -> RunDirectory:
        files = partial(write_files, record, data, None if code is None else code.text)
        made.append(RunDirectory.create(out, plain(config), files, model_tensors(model), state, overwrite))
        return made[0]

    settings = _settings(config, model, data, program)
    rows = [*describe_chosen(chosen), *_rows(task, config, data, model, settings, out)]
    result = fit(TaskJob(task, model, data, config), settings, create, rows=rows)
    return _finish(OpenedRun(task, made[0], record, config), model, data, result)


def resume(
    path: str | os.PathLike[str], cell: type[Cell] | None = None, changes: Mapping[str, Any] | None = None
) -> Run:
    """Continue a run from its last complete state, to the end that its configuration names.

        run = recurra.resume("runs/poems", changes={"training.minutes": 10})

    Args:
        path: the run directory.
        cell: the class of a run's own cell; not needed for built-in ones.
        changes: values by dotted key that the run has from now on: of training, the optimiser, the schedule and the
            evaluation, and of `data` its files, where these have moved. A limit takes the place of all limits before;
            it counts from the run's beginning.

    Returns:
        The run, as `train` does.

    Raises:
        ConfigError: a change is of an unknown key or value, or of what a run keeps.
        RunError: the run is damaged, or the data or the cell's program have changed since; or it is a mean of
            checkpoints, which no training has led to; or there are changes and nothing is left to train.
    """
    check_own_cell(cell)
    opened = open_run(path_of(path, "path"))
    opened.directory.lock()
    try:
        return _resume(opened, cell, changes or {})
    finally:
        opened.directory.unlock()


def _resume(opened: OpenedRun, cell: type[Cell] | None, changes: Mapping[str, Any]) -> Run:
    """Continue a run that is open and locked."""
    task, config = opened.task, opened.config
    averaged = opened.record.get(AVERAGED)
    if isinstance(averaged, dict):
        raise RunError(
            f"{opened.path}: is the mean of checkpoints of {averaged.get('run')}; resume that run, and average again."
        )
    if changes:
        opened = change(opened, changes)
        config = opened.config
    check_files(opened)
    with overview.slow(reading(config, building=False)):
        data = task.load_data(config, opened.vocabularies)
    torch.manual_seed(config.training.seed)
    model = rebuild_model(opened, cell, strict=True)
    model.to(resolve_device(config.training.device))
    settings = _settings(config, model, data, program_digest(model))
    rows = _rows(task, config, data, model, settings, opened.path)
    result = fit(TaskJob(task, model, data, config), settings, opened.directory, True, rows)
    return _finish(opened, model, data, result)


def load(path: str | os.PathLike[str], cell: type[Cell] | None = None, device: str = "cpu") -> Run:
    """Open a run to use it; its data files are not read.

        run = recurra.load("runs/poems")

    Args:
        path: the run directory.
        cell: the class of a run's own cell; not needed for built-in ones.
        device: "cpu", "cuda" or "auto".

    Returns:
        The run, as `train` does.

    Raises:
        RunError: the run is missing or damaged, or its cell's code was not named.
    """
    check_own_cell(cell)
    return load_opened(open_run(path_of(path, "path")), cell, device)


def load_opened(opened: OpenedRun, cell: type[Cell] | None = None, device: str = "cpu") -> Run:
    """What `load` gives for a run that has been opened already."""
    model = rebuild_model(opened, cell, strict=False)
    apply_weights(model, opened.directory.load_weights(), opened.path)
    model.to(resolve_device(device)).eval()
    return Run(opened, model)


def rebuild_model(opened: OpenedRun, cell: type[Cell] | None, strict: bool) -> nn.Module:
    """The model of a run without its weights, its cell's program checked against the one recorded.

    The memory of its weights is not initialised: weights are to be put into all of it.

    Args:
        opened: the run.
        cell: the class of a run's own cell.
        strict: another program is an error; otherwise it is reported on stderr.

    Raises:
        RunError: the code of the run's own cell was not named, or is not the original one.
        ConfigError: a cell is named and the model has none.
    """
    config, path = opened.config, opened.path
    name = getattr(config.model, "cell", None)
    if cell is None and "cell" in opened.record and name not in CELLS:
        known = name if isinstance(name, str) and name.isidentifier() and len(name) < 100 else "CLASS"
        raise RunError(
            f"{path}: the run's cell {quoted(name)} is not built in; name its code, --model.cell FILE.py:{known} or "
            f"cell={known}.{_where_the_code_is(opened)}"
        )
    with not_drawing():
        model: nn.Module = opened.task.build_model(config, opened.vocabularies, cell)
    program = program_digest(model)
    _check_used(cell, program)
    if opened.record.get("program") != program:
        message = f"{path}: the equations of cell {name!r} are not those the run was trained with"
        if strict:
            raise RunError(f"{message}; resume with the original code.")
        print(f"recurra: {message}; its results may differ.", file=sys.stderr)
    return model


def check_own_cell(cell: object) -> None:
    """Refuse what is no class of cells.

    Raises:
        CellError, ConfigError: it is none; the remedy is named.
    """
    if isinstance(cell, str):
        raise ConfigError(
            f"cell: expected the class of a cell of your own, got {quoted(cell)}; a built-in cell is named in the "
            'configuration, as in LanguageModelConfig(cell="gru").'
        )
    if cell is not None:
        check_cell(cell)


def program_digest(model: nn.Module) -> str | None:
    """The digest of the cell's program (of several, all of them); None where the model has no cell."""
    programs = [module.digest for module in model.modules() if isinstance(module, Cell)]
    return "+".join(dict.fromkeys(programs)) or None


def write_files(record: Mapping[str, Any], data: Dataset[Any], code: bytes | None, folder: Path) -> None:
    """Write what of a run the task decides: its vocabularies, `task.json`, and the text of its own cell's code."""
    data.vocabularies.save(folder)
    if code is not None:
        write_atomic(folder / CODE_FILE, code)
    write_atomic(folder / TASK_FILE, json_bytes({**record, MADE_BY: __version__}))


# --- a run to start from ------------------------------------------------------------------------------


def _open_source(task: AnyTask, config: TaskConfig, out: str | Path) -> OpenedRun:
    """The run whose weights and vocabularies a new one starts with.

    Raises:
        ConfigError: `out` is the run itself, or it is a run of another task.
        RunError: it is missing or damaged.
    """
    path = str(config.training.start_from)
    if whole_path(out) == whole_path(path):
        raise ConfigError(f"out: {out} is the run to start from; choose another folder.")
    source = open_run(path)
    if source.task.name != task.name:
        raise ConfigError(
            f"training.start_from: {path} is {TASKS[source.task.name].noun}; expected {TASKS[task.name].noun}."
        )
    return source


def _started_from(
    source: OpenedRun, task: AnyTask, config: TaskConfig, data: Dataset[Any], cell: type[Cell] | None
) -> nn.Module:
    """A new model with the weights that a run is used with.

    Raises:
        ConfigError: the model is not that run's.
        RunError: the weights are missing or damaged.
    """
    remedy = f"take its settings over with --config {source.path}/config.yaml"
    with not_drawing():
        model: nn.Module = task.build_model(config, data.vocabularies, cell)
    weights = source.directory.load_weights()
    if source.record.get("program") != program_digest(model):
        raise ConfigError(
            f"training.start_from: the cells of {source.path} are not this model's, model.cell: {remedy}."
        )
    try:
        apply_weights(model, weights, source.path)
    except RunError as error:
        raise ConfigError(
            f"training.start_from: the weights do not fit this model ({error}); {remedy}."
        ) from error
    return model


# --- what is recorded ---------------------------------------------------------------------------------


def _with_cell(config: Config, cell: type[Cell] | None) -> Config:
    """The configuration with the name of the cell's class in it; of a built-in one the name that it has in `CELLS`.

    Raises:
        ConfigError: a class of one's own has the name of a built-in cell.
    """
    if cell is None or not hasattr(config.model, "cell"):
        return config
    built_in = {known: name for name, known in CELLS.items()}
    if cell not in built_in and cell.__name__ in CELLS:
        raise ConfigError(f"cell: the built-in cell has the name {cell.__name__} too; rename the class.")
    model = dataclasses.replace(config.model, cell=built_in.get(cell, cell.__name__))
    return dataclasses.replace(config, model=model)


def _check_used(cell: type[Cell] | None, program: str | None) -> None:
    if cell is not None and program is None:
        raise ConfigError(f"cell: this model has no recurrent cell, got {cell.__name__}; leave it out.")


def _cell_record(config: TaskConfig, program: str | None, code: Code | None) -> dict[str, Any]:
    """What `task.json` says of the cell; nothing where the model has none."""
    if program is None:
        return {}
    record: dict[str, Any] = {"cell": config.model.cell, "program": program}
    return record if code is None else record | {CODE: {"file": code.file, "sha256": code.sha256}}


def _where_the_code_is(opened: OpenedRun) -> str:
    """Where the code of a run's own cell was, and where its text can be read."""
    code = opened.record.get(CODE)
    if not isinstance(code, Mapping):
        return ""
    kept = opened.path / CODE_FILE
    text = f"its text is in {kept}" if kept.is_file() else "its text was not kept"
    if code.get("file") is None:
        return f" It was defined in a notebook or at Python's prompt; {text}."
    return f" It was trained with {quoted(code.get('file'))}; {text}."


def digests_of(data: Dataset[Any]) -> dict[str, str]:
    """Fingerprints of the files and of the vocabularies."""
    files = {f"data.{split}": digest for split, digest in data.digests.items()}
    return files | {"vocabulary": data.vocabularies.digest}


def _settings(config: TaskConfig, model: nn.Module, data: Dataset[Any], program: str | None) -> Settings:
    """What the run is trained by, with what a resumed run is checked against."""
    fingerprint, environment = digests_of(data), {}
    if program is not None:
        fingerprint["model.cell"] = program
        backends = [module.choose_backend() for module in model.modules() if isinstance(module, Recurrent)]
        environment["backend"] = ", ".join(dict.fromkeys(backends))
    return Settings(
        config.training, config.optimiser, config.schedule, fingerprint, environment, judged_by(config)
    )


def _rows(
    task: AnyTask,
    config: TaskConfig,
    data: Dataset[Any],
    model: nn.Module,
    settings: Settings,
    path: str | Path,
) -> list[overview.Row]:
    """What training says before it begins."""
    machine = overview.machine(settings, next(model.parameters()).device)
    return [*task.describe(data, config), *overview.model(model), machine, ("run", str(path))]


def _finish(opened: OpenedRun, model: nn.Module, data: Dataset[Any], result: Result) -> Run:
    """The run with the weights to use, and its training curves drawn."""
    from recurra.inspection.curves import show_training

    directory = opened.directory
    apply_weights(model, directory.load_weights(), directory.path)
    model.eval()
    records = directory.metrics()
    if records:  # an interruption may come before the first evaluation
        try:
            show_training(records, _heading(opened)).save(directory.path / "plots" / "training.png")
        except OSError as error:  # the disk is full or refuses; weights and metrics are safe
            print(
                f"note: {directory.path}/plots: the training curves could not be drawn ({error.strerror or error}).",
                file=sys.stderr,
            )
    return Run(opened, model, data, result)


def _heading(opened: OpenedRun) -> str:
    """Which run and model its training curves are of."""
    cell = getattr(opened.config.model, "cell", None)
    of_cell = "" if "cell" not in opened.record else f", {cell}"
    return f"{opened.path.name}: {TASKS[opened.task.name].noun.partition(' ')[2]}{of_cell}"
