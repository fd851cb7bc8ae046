"""The configuration of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recurra.settings import AUTO, MOST_THREADS, check, setting

PARTS = ("training", "optimiser", "schedule")
"""The sections of a run's configuration that say how it is trained."""
DEFAULT_EPOCHS = 10.0
LIMITS = ("epochs", "steps", "minutes")
COUNTED = "its position in an epoch counts batches of this size"


@dataclass(frozen=True)
class FitConfig:
    """How long and on what a model is trained: what is common to all tasks (keys `training.*`).

    The run ends at the first of its limits; where none is given, after 10 epochs.

    Attributes:
        epochs: limit in passes over the training data; a fraction is allowed (default: 10, where there is no limit).
        steps: limit in updates.
        minutes: limit in wall-clock time from the first batch to the end of the last update, intermediate
            evaluations and earlier parts of a resumed run included.
        clip_norm: gradients are rescaled to this norm where theirs is larger; none: never.
        clip_value: where given, the gradients' entries are cut to ± this instead of clipping by norm.
        accumulate: batches per update.
        precision: float32, or bfloat16 for autocast of the forward pass, with weights in float32.
        seed: seed of initial weights, dropout and the order of the data.
        device: auto (CUDA if there is one), cpu or cuda.
        threads: number of CPU threads (default: torch's).
        evaluate_every: updates between two evaluations (default: those of an epoch, or of a tenth of a run of fewer
            than ten; fewer evaluations where they would take much of the time).
        save_every: updates between two saves (default: with each evaluation, where saving takes under 5 % of the time
            or several checkpoints are kept, and every five minutes).
        patience: stop when so many evaluations in a row were no better than the best (default: never).
        keep: number of checkpoints of the weights that are kept, the last ones; recurra average takes their mean.
        weights: which weights the run is used with afterwards: those of the best evaluation, or the last.
        start_from: the folder of a run; training starts with the weights that it is used with and its vocabularies, in
            place of random weights and new vocabularies; the model's options must be that run's.
        tensorboard: write event files as well (needs the extra tensorboard).
    """

    epochs: float | None = setting(None, above=0, common=True)
    steps: int | None = setting(None, at_least=1, common=True)
    minutes: float | None = setting(None, above=0, common=True)
    clip_norm: float | None = setting(1.0, above=0)
    clip_value: float | None = setting(None, above=0)
    accumulate: int = setting(1, at_least=1, fixed=COUNTED)
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = setting(
        1,
        at_least=0,
        below=2**63,
        expected="a whole number in [0, 2^63)",
        fixed="the order of its data follows from it",
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = setting(None, at_least=1, at_most=MOST_THREADS)
    evaluate_every: int | None = setting(None, at_least=1)
    save_every: int | None = setting(None, at_least=1)
    patience: int | None = setting(None, at_least=1)
    keep: int = setting(1, at_least=0)
    weights: Literal["best", "last"] = setting(
        "best", fixed="it has kept the weights that were asked for and no others"
    )
    start_from: str | None = setting(
        None, files=True, expected="the folder of a run", fixed="only a new run starts from another"
    )
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check(self, "training")
        if self.epochs is None and self.steps is None and self.minutes is None:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS)


@dataclass(frozen=True)
class WindowBatches:
    """In which portions a language model reads.

    Attributes:
        batch_size: rows per batch.
        bptt: steps per window, the length of truncated back-propagation through time.
    """

    batch_size: int = setting(AUTO, at_least=1, fixed=COUNTED, auto=32)
    bptt: int = setting(AUTO, at_least=1, fixed=COUNTED, auto=64)


@dataclass(frozen=True)
class TokenBatches:
    """In which portions a translator reads.

    Attributes:
        batch_tokens: source and target symbols per batch.
    """

    batch_tokens: int = setting(AUTO, at_least=1, fixed=COUNTED, auto=3000)


# A dataclass takes the fields of its last base first: the portions head `--help` and `config.yaml`.


@dataclass(frozen=True)
class TrainingConfig(FitConfig, WindowBatches):
    """How a language model is trained (keys `training.*`): the keys of `WindowBatches` and of `FitConfig`."""


@dataclass(frozen=True)
class PairTrainingConfig(FitConfig, TokenBatches):
    """How a translator is trained (keys `training.*`): the keys of `TokenBatches` and of `FitConfig`."""
