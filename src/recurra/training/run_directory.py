"""The run directory: all that a training run leaves, complete at every instant.

    config.yaml           the resolved configuration
    (vocabulary files)    written by the task
    model.safetensors     the weights to use: the best so far
    metrics.jsonl         lines of training metrics and of evaluations
    changes.jsonl         a line for each time it was resumed with other settings
    checkpoints/          <step>.safetensors, the last few
    plots/
    resume/<step>/        tensors.safetensors, values.json: everything that training needs to continue
    resume/latest         one line, the name of the complete folder

A new run is built in a temporary folder and put into place whole. A resume folder is written whole and flushed before
`latest` names it, and older ones go only afterwards. So a kill at any instant leaves either no
directory, or one that opens with its last complete state. Nothing that is loaded can run code.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.durable import (
    append,
    flush,
    flush_folder,
    read_plain,
    truncate,
    whole_path,
    write_atomic,
    write_flushed,
)
from recurra.errors import RunError, TrainingError, quoted
from recurra.plain_yaml import write_plain_yaml
from recurra.training.durable import (
    check_names,
    check_plain,
    check_tensors,
    json_bytes,
    plain_values,
    read_json,
    read_tensors,
    read_yaml,
    tensor_bytes,
)
from recurra.training.metrics_file import metrics_line, read_metrics
from recurra.training.run_lock import RunLock
from recurra.training.run_place import (
    CONFIG,
    RESUME,
    check_free,
    check_there,
    clear_leftover,
    put_in_place,
    working_folder,
)

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, METRICS = "model.safetensors", "metrics.jsonl"
LATEST, CHECKPOINTS, PLOTS = "latest", "checkpoints", "plots"
STEP_FOLDER = re.compile(r"\d{1,18}(-\d)?", re.ASCII)
CHECKPOINT = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
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
        self._lock: RunLock | None = None
        self._identity = _identity(path)

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

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
        """Build a new run in a temporary folder and rename it into place; it is then locked, until `unlock`.

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
        check_free(path, overwrite)
        path = whole_path(path)
        lock = None
        try:
            temporary = working_folder(path)
            try:
                lock = RunLock(temporary)
                cls._build(temporary, config, files, weights, resume, metrics)
                put_in_place(temporary, path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            run = cls.open(path)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if not isinstance(error, OSError):
                raise
            raise RunError(
                f"{path}: could not create the run directory ({error.strerror or error}); make room, or "
                "choose another folder."
            ) from error
        run._lock = lock
        return run

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
        write_atomic(temporary / CONFIG, _config_bytes(config))
        files(temporary)
        for folder in (RESUME, CHECKPOINTS, PLOTS):
            (temporary / folder).mkdir()
        write_atomic(temporary / METRICS, b"".join(map(metrics_line, metrics)))
        write_atomic(temporary / WEIGHTS, tensor_bytes(weights))
        if resume is not None:
            cls(temporary, {})._write_resume(resume)
        flush(temporary)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open a run, having checked that its configuration and weights are whole.

        Raises:
            RunError: the directory is missing, damaged, or not a run.
        """
        path = Path(path)
        check_there(path)
        check_plain(path)
        run = cls(path, read_yaml(path / CONFIG))
        check_tensors(path / WEIGHTS)
        return run

    # ---------------------------------------------------------------- one writer

    def lock(self) -> None:
        """Take the right to write into the run, until `unlock` or the end of the process.

        Raises:
            RunError: another process, or another call in this one, has it; or an overwriting has put another run there
                since this one was opened.
        """
        if self._lock is None:
            lock = RunLock(self.path)
            if _identity(self.path) != self._identity:
                lock.release()
                raise RunError(
                    f"{self.path}: another run has taken its place since it was opened; start again."
                )
            self._lock = lock
            clear_leftover(self.path)

    def with_config(self, config: dict[str, Any]) -> RunDirectory:
        """The same run, and the same right to write into it, with another configuration; no file changes yet."""
        other = RunDirectory(self.path, config)
        other._lock = self._lock
        return other

    def unlock(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def save_config(self) -> None:
        """Replace `config.yaml` where it is not what `config` holds, as of a run that is resumed with changes.

        Raises:
            TrainingError: the disk is full or refuses.
        """
        if read_yaml(self.path / CONFIG) != self.config:
            with self._saving():
                write_atomic(self.path / CONFIG, _config_bytes(self.config))

    # ---------------------------------------------------------------- resume states

    @property
    def latest(self) -> str:
        """The name of the complete resume folder.

        Raises:
            RunError: `resume/latest` is missing or names no folder.
        """
        pointer = self.path / RESUME / LATEST
        try:
            name = read_plain(pointer, at_most=100).decode("ascii").strip()
        except (OSError, ValueError) as error:
            raise RunError(
                f"{pointer}: missing or unreadable; the run cannot be resumed, but its weights can be used."
            ) from error
        if not STEP_FOLDER.fullmatch(name) or not (pointer.parent / name).is_dir():
            raise RunError(f"{pointer}: expected the name of a folder beside it, got {quoted(name)}.")
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
        flush(self.path / METRICS)
        length = (self.path / METRICS).stat().st_size
        folder = self._free_folder(state.step)
        try:
            folder.mkdir()
            write_flushed(folder / TENSORS, tensor_bytes(state.tensors))
            values = {
                **state.values,
                "step": state.step,
                "metrics_bytes": length,
                "tensors": sorted(state.tensors),
            }
            write_flushed(folder / VALUES, json_bytes(values))
            flush_folder(folder)
            flush_folder(resume)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        write_atomic(resume / LATEST, f"{folder.name}\n".encode())
        for other in resume.iterdir():
            if STEP_FOLDER.fullmatch(other.name) and other != folder:
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
        state = self.read_resume()
        self._cut_metrics(state.values["metrics_bytes"])
        return state

    def read_resume(self) -> ResumeState:
        """Read the last complete state, and change nothing.

        Raises:
            RunError: a file is missing, damaged or foreign.
        """
        folder = self.path / RESUME / self.latest
        values = read_json(folder / VALUES)
        for key in ("step", "metrics_bytes"):
            if type(values.get(key)) is not int or not 0 <= values[key] < 1 << 53:
                raise RunError(
                    f"{folder / VALUES}: expected a whole number under {key!r}; the file is damaged."
                )
        tensors = read_tensors(folder / TENSORS)
        check_names(values, tensors, folder)
        return ResumeState(values["step"], tensors, values)

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
        return dict(sorted((int(file.stem), file) for file in files if CHECKPOINT.fullmatch(file.stem)))

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
        line = metrics_line(values)
        with self._saving():
            append(self.path / METRICS, line)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`; a last line that a kill cut short is left out.

        Raises:
            RunError: another line is not a JSON object, or what should be a number in it is none.
        """
        return read_metrics(self.path / METRICS)

    def _cut_metrics(self, length: int) -> None:
        path = self.path / METRICS
        if not path.exists() or path.stat().st_size < length:
            raise RunError(
                f"{path}: shorter than when the state was saved ({length} bytes); put the original file back."
            )
        if path.stat().st_size > length:
            with self._saving():
                truncate(path, length)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.path}: could not save ({error.strerror or error}); the last complete state stays. "
                f"Make room, then `recurra resume {self.path}`."
            ) from error


def _identity(path: Path) -> tuple[int, int]:
    """Which folder it is, whatever its name."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _config_bytes(config: Mapping[str, Any]) -> bytes:
    return write_plain_yaml(plain_values(config)).encode()
