"""What training shows while it runs: a progress bar on a terminal, else a line now and then; on stderr."""

from __future__ import annotations

import random
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from recurra.metrics.evaluation import Table

BAR_SECONDS, LINE_SECONDS = 0.25, 10.0
OUTPUTS_SHOWN = 3  # at each evaluation
LOG_WIDTH = 120  # of outputs, where there is no terminal


class Display:
    """Rate, loss and time left, of the updates since it last showed them."""

    def __init__(self, progress: float, seed: int = 1) -> None:
        """Begin at this share of the run, in [0, 1]; the seed chooses which outputs are shown."""
        self._seed = seed
        self._began, self._begin = time.perf_counter(), progress
        self._bar = _open_bar() if sys.stderr.isatty() else None
        self._interval = BAR_SECONDS if self._bar else LINE_SECONDS
        self._reset()

    def _reset(self) -> None:
        self._shown = time.perf_counter()
        self._loss, self._tokens = 0.0, 0

    def updated(self, step: int, epoch: float, progress: float, loss_sum: float, tokens: int) -> None:
        """One update was made on `tokens` tokens whose losses sum to `loss_sum` nats."""
        self._loss += loss_sum
        self._tokens += tokens
        now = time.perf_counter()
        if now - self._shown < self._interval:
            return
        rate = self._tokens / (now - self._shown)
        made = progress - self._begin
        left = _duration((now - self._began) * (1.0 - progress) / made) if made > 0 else "?"
        text = (
            f"step {step}  epoch {epoch:.2f}  loss {self._loss / max(self._tokens, 1):.3f}  "
            f"{rate:,.0f} tokens/s  {left} left"
        )
        if self._bar is None:
            self.note(text)
        else:
            self._bar.update(self._bar.task_ids[0], completed=progress, description=text, refresh=True)
        self._reset()

    def evaluated(self, step: int, values: Mapping[str, float], best: bool) -> None:
        """An evaluation gave these values."""
        text = "  ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in values.items())
        self.note(f"step {step}  validation: {text}{'  (best so far)' if best else ''}")

    def outputs(self, table: Table | None) -> None:
        """Some outputs of an evaluation, the same ones each time, with their sources and references."""
        if table is None or not table.rows:
            return
        count = min(OUTPUTS_SHOWN, len(table.rows))
        labels = [
            name.removesuffix("s") for name in table.columns
        ]  # of several references the first is shown
        label_width = max(map(len, labels))
        width = shutil.get_terminal_size((LOG_WIDTH, 0)).columns if sys.stderr.isatty() else LOG_WIDTH
        for index in sorted(random.Random(self._seed).sample(range(len(table.rows)), count)):
            for label, value in zip(labels, table.rows[index], strict=False):
                head = f"  {label:<{label_width}}  "
                self.note((head + _cut(str(value), width - len(head))).rstrip())

    def note(self, text: str) -> None:
        """One line."""
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


def _open_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
    bar.add_task("starting", total=1.0)
    bar.start()
    return bar


def _cut(text: str, width: int) -> str:
    """The text on one line of at most `width` columns of a terminal; what would move its cursor is not let through."""
    text = "".join(
        character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
        for character in text[: width + 1]
    )
    columns = 0
    for index, character in enumerate(text):
        columns += (
            2 if unicodedata.east_asian_width(character) in "WF" else not unicodedata.combining(character)
        )
        if (columns >= width and index + 1 < len(text)) or columns > width:
            return text[:index] + "…"
    return text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class EventFiles:
    """TensorBoard event files with the numbers of each evaluation."""

    def __init__(self, folder: str, step: int, note: Callable[[str], None]) -> None:
        """Write into `folder`; what it holds beyond `step` is from before a resume and is hidden.

        Training does not depend on these files: where they cannot be written, `note` is told so once.

        Raises:
            ConfigError: tensorboard is not installed.
        """
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._note = folder, note
        self._writer: SummaryWriter | None = None
        with self._noting():
            self._writer = SummaryWriter(folder, purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """One point per number."""
        with self._noting():
            if self._writer is not None:
                for name, value in values.items():
                    if value is not None:
                        self._writer.add_scalar(name, value, step)
                self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        with self._noting():
            if self._writer is not None:
                self._writer.close()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None
            self._note(
                f"note: {self._folder}: could not be written ({error.strerror or error}); training continues without "
                "event files."
            )


def check_tensorboard() -> None:
    """Refuse `training.tensorboard` where it is not installed.

    Raises:
        ConfigError: it is not.
    """
    from importlib.util import find_spec

    from recurra.errors import ConfigError

    if find_spec("tensorboard") is None:
        raise ConfigError("training.tensorboard: not installed; pip install 'recurra[tensorboard]'.")
