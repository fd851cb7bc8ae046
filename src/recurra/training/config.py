"""The configuration of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recurra.errors import ConfigError
from recurra.training.checks import check_name, check_number

DEFAULT_EPOCHS = 10.0


@dataclass(frozen=True)
class FitConfig:
    """How long and on what a model is trained: what is common to all tasks (keys `training.*`).

    The run ends at the first of its limits; where none is given, after 10 epochs.

    Attributes:
        epochs: limit in passes over the training data; a fraction is allowed.
        steps: limit in updates.
        minutes: limit in wall-clock time from the first batch to the end of the last update, intermediate
            evaluations and earlier parts of a resumed run included.
        clip_norm: gradients are rescaled to this norm where theirs is larger; None: never.
        clip_value: where given, the gradients' entries are cut to ± this instead of clipping by norm.
        accumulate: batches per update.
        precision: float32, or bfloat16 for autocast of the forward pass, with weights in float32.
        seed: of initial weights, dropout and the order of the data.
        device: auto (CUDA if there is one), cpu or cuda.
        threads: of the CPU; None: as many as torch takes.
        evaluate_every: in updates; None: once an epoch.
        save_every: in updates; None: with each evaluation (where saving takes under 5 % of the time, or several
            checkpoints are kept), and every five minutes.
        patience: stop when so many evaluations in a row were no better than the best; None: never.
        keep: how many checkpoints of the weights are kept, the last ones; `recurra average` takes their mean.
        weights: which weights the run is used with afterwards: those of the best evaluation, or the last.
        start_from: the folder of a run; training starts with the weights that it is used with and its vocabulary, in
            place of random weights and a new vocabulary; the model's options must be that run's.
        tensorboard: write event files as well (needs the extra `tensorboard`).
    """

    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    evaluate_every: int | None = None
    save_every: int | None = None
    patience: int | None = None
    keep: int = 1
    weights: Literal["best", "last"] = "best"
    start_from: str | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _whole("accumulate", self.accumulate)
        for key in ("steps", "threads", "evaluate_every", "save_every", "patience"):
            if getattr(self, key) is not None:
                _whole(key, getattr(self, key))
        for key in ("epochs", "minutes", "clip_norm", "clip_value"):
            if getattr(self, key) is not None:
                check_number(
                    f"training.{key}", getattr(self, key), "a number above 0", lambda value: value > 0
                )
        check_number("training.seed", self.seed, "a whole number in [0, 2^63)", _is_seed, whole=True)
        check_number(
            "training.keep", self.keep, "a whole number, 0 or more", lambda keep: keep >= 0, whole=True
        )
        check_name("training.precision", self.precision, ("float32", "bfloat16"))
        check_name("training.device", self.device, ("auto", "cpu", "cuda"))
        check_name("training.weights", self.weights, ("best", "last"))
        if self.start_from is not None and not (isinstance(self.start_from, str) and self.start_from):
            raise ConfigError(f"training.start_from: expected the folder of a run, got {self.start_from!r}.")
        if not isinstance(self.tensorboard, bool):
            raise ConfigError(f"training.tensorboard: expected true or false, got {self.tensorboard!r}.")
        if self.epochs is None and self.steps is None and self.minutes is None:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS)


@dataclass(frozen=True)
class WindowBatches:
    """In which portions a language model reads.

    Attributes:
        batch_size: rows per batch.
        bptt: steps per window, the length of truncated back-propagation through time.
    """

    batch_size: int = 32
    bptt: int = 64


@dataclass(frozen=True)
class TokenBatches:
    """In which portions a translator reads.

    Attributes:
        batch_tokens: source and target symbols per batch.
    """

    batch_tokens: int = 3000


# A dataclass takes the fields of its last base first: the portions head `--help` and `config.yaml`.


@dataclass(frozen=True)
class TrainingConfig(FitConfig, WindowBatches):
    """How a language model is trained (keys `training.*`): the keys of `WindowBatches` and of `FitConfig`."""

    def __post_init__(self) -> None:
        for key in ("batch_size", "bptt"):
            _whole(key, getattr(self, key))
        super().__post_init__()


@dataclass(frozen=True)
class PairTrainingConfig(FitConfig, TokenBatches):
    """How a translator is trained (keys `training.*`): the keys of `TokenBatches` and of `FitConfig`."""

    def __post_init__(self) -> None:
        _whole("batch_tokens", self.batch_tokens)
        super().__post_init__()


def _whole(key: str, value: object) -> None:
    check_number(f"training.{key}", value, "a whole number above 0", lambda number: number > 0, whole=True)


def _is_seed(seed: int) -> bool:
    return 0 <= seed < 2**63
