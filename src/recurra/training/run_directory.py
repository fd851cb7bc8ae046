"""The run directory: all that a training run leaves, complete at every instant.

    config.yaml           the resolved configuration
    (vocabulary files)    written by the task
    model.safetensors     the weights to use: the best so far
    metrics.jsonl         one line per evaluation
    checkpoints/          <step>.safetensors, the last few
    plots/
    resume/<step>/        tensors.safetensors, values.json: everything that training needs to continue
    resume/latest         one line, the name of the complete folder

A new run is built in a temporary folder and renamed into place. A resume folder is written whole and flushed before
`latest` names it, and older ones go only afterwards. So a kill at any instant leaves either no
directory, or one that opens with its last complete state. Nothing that is loaded can run code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from recurra.durable import flush_folder, write_atomic, write_flushed
from recurra.errors import RunError, TrainingError
from recurra.training.durable import (
    check_tensors,
    json_bytes,
    read_json,
    read_tensors,
    read_yaml,
    tensor_bytes,
)

CONFIG, WEIGHTS, METRICS = "config.yaml", "model.safetensors", "metrics.jsonl"
RESUME, LATEST, CHECKPOINTS, PLOTS = "resume", "latest", "checkpoints", "plots"
TENSORS, VALUES = "tensors.safetensors", "values.json"


@dataclass(frozen=True)
class ResumeState:
    """Everything that training needs to continue from where it was.

    Attributes:
        step: the number of updates made.
        tensors: weights, optimiser, generators and carried state, by prefixed name.
        values: plain JSON values.
    """

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


class RunDirectory:
    """A training run on disk; made by `create` or `open`."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config

    # ---------------------------------------------------------------- create and open

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        files: Callable[[Path], object],
        weights: Mapping[str, Tensor],
        resume: ResumeState | None,
        overwrite: bool = False,
        metrics: Sequence[Mapping[str, Any]] = (),
    ) -> RunDirectory:
        """Build a new run in a temporary folder and rename it into place.

        Args:
            path: where the run will be; must be absent or an empty folder, or, with `overwrite`, a run.
            config: the resolved configuration, plain values (tuples become lists, paths strings).
            files: writes the vocabulary and whatever else belongs to the run into the folder it is given.
            weights: the first weights.
            resume: the state at step 0; None for weights that no training continues.
            overwrite: replace a run that is there already.
            metrics: what `metrics.jsonl` begins with.

        Raises:
            RunError: the path holds something, or cannot be written.
        """
        path = Path(path).resolve()
        check_free(path, overwrite)
        temporary = path.with_name(f".{path.name}.new")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            cls._build(temporary, config, files, weights, resume, metrics)
            _put_in_place(temporary, path)
        except OSError as error:
            raise RunError(
                f"{path}: could not create the run directory ({error.strerror or error}); make room, or "
                "choose another folder."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls.open(path)

    @classmethod
    def _build(
        cls,
        temporary: Path,
        config: Mapping[str, Any],
        files: Callable[[Path], object],
        weights: Mapping[str, Tensor],
        resume: ResumeState | None,
        metrics: Sequence[Mapping[str, Any]],
    ) -> None:
        import yaml

        text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
        write_atomic(temporary / CONFIG, text.encode())
        files(temporary)
        for folder in (RESUME, CHECKPOINTS, PLOTS):
            (temporary / folder).mkdir()
        write_atomic(temporary / METRICS, b"".join(map(_metrics_line, metrics)))
        write_atomic(temporary / WEIGHTS, tensor_bytes(weights))
        if resume is not None:
            cls(temporary, {})._write_resume(resume)
        for file in temporary.iterdir():
            _flush(file)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open a run, having checked that its configuration and weights are whole.

        Raises:
            RunError: the directory is missing, damaged, or not a run.
        """
        path = Path(path)
        if not path.is_dir():
            what = "is a file, not a run directory" if path.exists() else "no such run directory"
            raise RunError(f"{path}: {what}; `recurra train ... --out {path}` makes one.")
        run = cls(path, read_yaml(path / CONFIG))
        check_tensors(path / WEIGHTS)
        return run

    # ---------------------------------------------------------------- resume states

    @property
    def latest(self) -> str:
        """The name of the complete resume folder.

        Raises:
            RunError: `resume/latest` is missing or names no folder.
        """
        pointer = self.path / RESUME / LATEST
        try:
            name = pointer.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise RunError(
                f"{pointer}: missing or unreadable; the run cannot be resumed, but its weights can be used."
            ) from error
        if not re.fullmatch(r"\d+(-\d+)?", name) or not (pointer.parent / name).is_dir():
            raise RunError(f"{pointer}: expected the name of a folder beside it, got {name[:40]!r}.")
        return name

    def save_resume(self, state: ResumeState) -> None:
        """Write a resume folder, point `latest` at it, and remove the older ones.

        The length of `metrics.jsonl` is recorded with it.

        Raises:
            TrainingError: the disk is full or refuses; the last complete state stays.
        """
        with self._saving():
            self._write_resume(state)

    def _write_resume(self, state: ResumeState) -> None:
        resume = self.path / RESUME
        _flush(self.path / METRICS)
        length = (self.path / METRICS).stat().st_size
        folder = self._free_folder(state.step)
        try:
            folder.mkdir()
            write_flushed(folder / TENSORS, tensor_bytes(state.tensors))
            values = {**state.values, "step": state.step, "metrics_bytes": length}
            write_flushed(folder / VALUES, json_bytes(values))
            flush_folder(folder)
            flush_folder(resume)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        write_atomic(resume / LATEST, f"{folder.name}\n".encode())
        for other in resume.iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other)

    def _free_folder(self, step: int) -> Path:
        """A folder for this step that `latest` does not name: saving never touches the complete state."""
        resume = self.path / RESUME
        named = self.latest if (resume / LATEST).exists() else None
        folder = resume / (str(step) if named != str(step) else f"{step}-1")
        if folder.exists():
            shutil.rmtree(folder)
        return folder

    def load_resume(self) -> ResumeState:
        """Read the last complete state, and cut `metrics.jsonl` to the length recorded with it.

        Raises:
            RunError: a file is missing, damaged or foreign.
        """
        folder = self.path / RESUME / self.latest
        values = read_json(folder / VALUES)
        for key in ("step", "metrics_bytes"):
            if type(values.get(key)) is not int or values[key] < 0:
                raise RunError(
                    f"{folder / VALUES}: expected a whole number under {key!r}; the file is damaged."
                )
        state = ResumeState(values["step"], read_tensors(folder / TENSORS), values)
        self._cut_metrics(values["metrics_bytes"])
        return state

    # ---------------------------------------------------------------- weights

    def save_best(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace the weights that `load_weights` reads.

        Raises:
            TrainingError: the disk is full or refuses; the weights before stay.
        """
        with self._saving():
            write_atomic(self.path / WEIGHTS, tensor_bytes(tensors))

    def load_weights(self) -> dict[str, Tensor]:
        """The weights to use, by parameter name.

        Raises:
            RunError: the file is missing, damaged or foreign.
        """
        return read_tensors(self.path / WEIGHTS)

    def checkpoints(self) -> dict[int, Path]:
        """The files in `checkpoints`, by step, in that order."""
        files = (self.path / CHECKPOINTS).glob("*.safetensors")
        return dict(sorted((int(file.stem), file) for file in files if file.stem.isdigit()))

    def save_checkpoint(self, step: int, tensors: Mapping[str, Tensor], keep: int) -> None:
        """Keep these weights as `checkpoints/<step>.safetensors`, and only the last `keep` of them.

        Raises:
            TrainingError: the disk is full or refuses.
        """
        folder = self.path / CHECKPOINTS
        with self._saving():
            folder.mkdir(exist_ok=True)
            if keep:
                write_atomic(folder / f"{step}.safetensors", tensor_bytes(tensors))
            files = list(self.checkpoints().values())
            for old in files[: max(0, len(files) - keep)]:
                old.unlink()

    # ---------------------------------------------------------------- metrics

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Append one JSON line to `metrics.jsonl`.

        Raises:
            TrainingError: the disk is full or refuses.
        """
        line = _metrics_line(values)
        with self._saving(), (self.path / METRICS).open("ab") as file:
            file.write(line)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`; a last line that a kill cut short is left out.

        Raises:
            RunError: another line is not a JSON object.
        """
        path = self.path / METRICS
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RunError(f"{path}, line {number}: not JSON; remove the line.") from error
            if not isinstance(row, dict):
                raise RunError(f"{path}, line {number}: expected a JSON object; remove the line.")
            rows.append(row)
        return rows

    def _cut_metrics(self, length: int) -> None:
        path = self.path / METRICS
        if not path.exists() or path.stat().st_size < length:
            raise RunError(
                f"{path}: shorter than when the state was saved ({length} bytes); put the original file back."
            )
        if path.stat().st_size > length:
            os.truncate(path, length)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.path}: could not save ({error.strerror or error}); the last complete state stays. "
                f"Make room, then `recurra resume {self.path}`."
            ) from error


def check_free(path: str | Path, overwrite: bool = False) -> None:
    """Refuse a path at which `create` would refuse to build, before any work is done.

    Raises:
        RunError: the path holds a run (and `overwrite` is false), or something that is not a run.
    """
    path = Path(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path}: a file is there; choose another folder for the run.")
    if not any(path.iterdir()):
        return
    if not (path / CONFIG).is_file() or not (path / RESUME).is_dir():
        raise RunError(f"{path}: holds files that are not a run of recurra; choose another folder.")
    if not overwrite:
        raise RunError(
            f"{path}: holds a run already; `recurra resume {path}` continues it, another folder or "
            "overwriting (--overwrite) starts anew."
        )


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename, having moved a run that is overwritten out of the way first."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    flush_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _metrics_line(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, allow_nan=False) + "\n").encode()


def _flush(path: Path) -> None:
    """Flush a file or a folder with the files in it."""
    if path.is_dir():
        for inner in path.iterdir():
            _flush(inner)
        flush_folder(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    """Tuples become lists and paths strings, as YAML has neither."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
