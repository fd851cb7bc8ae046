"""What can be asked of a translator: how it searches, and what is done with what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from recurra.decode.config import BeamConfig
from recurra.settings import setting
from recurra.tasks.task import OnData

BEAM_OPTIONS = ("beam_size", "length_penalty", "penalty", "coverage_penalty", "n_best")
"""Fields of `BeamConfig` that greedy decoding has no use for."""

Conflicts = Mapping[str, tuple[str, tuple[str, ...]]]
"""By option: why others change nothing beside it, and which those are."""


@dataclass(frozen=True)
class SearchOptions(BeamConfig):
    """How outputs are searched for.

    Attributes:
        greedy: take the most probable symbol at each step, in place of a beam search.
    """

    greedy: bool = False

    conflicts: ClassVar[Conflicts] = {
        "greedy": ("changes nothing with --greedy, which keeps one hypothesis", BEAM_OPTIONS)
    }


@dataclass(frozen=True)
class TranslateEvaluateOptions(SearchOptions):
    """How outputs are found that are scored.

    Attributes:
        sentences: how many sources, drawn at random, are translated and scored (default: all); the loss is of all.
    """

    n_best: ClassVar[int] = 1  # type: ignore[misc]  # one output is scored
    sentences: int | None = setting(None, at_least=1)


@dataclass(frozen=True)
class TranslatePredictOptions(SearchOptions):
    """What is found for each line.

    Attributes:
        copy_unknown: put the source word that it attends to most in the place of each unknown word.
    """

    copy_unknown: bool = False


@dataclass(frozen=True)
class AttentionOptions(BeamConfig):
    """What is drawn.

    Attributes:
        source: the text to translate.
        target: its translation (default: the best one that is found).
    """

    n_best: ClassVar[int] = 1  # type: ignore[misc]
    source: str | None = None
    target: str | None = None

    conflicts: ClassVar[Conflicts] = {
        "target": (
            "a given --target is not searched for",
            (*BEAM_OPTIONS, "min_length", "max_length", "no_repeat_ngram"),
        )
    }


@dataclass(frozen=True)
class BeamOptions(BeamConfig):
    """What is drawn.

    Attributes:
        source: the text to translate.
        pruned: how many pruned candidates each column shows.
    """

    n_best: ClassVar[int] = 1  # type: ignore[misc]
    source: str | None = None
    pruned: int = setting(2, at_least=0)


@dataclass(frozen=True)
class PairFiles(OnData):
    """The pairs.

    Attributes:
        sentences: how many sources, drawn at random, the same ones each time (default: all).
    """

    sentences: int | None = setting(None, at_least=1)


@dataclass(frozen=True)
class ErrorOptions(PairFiles, BeamConfig):
    """What is searched, and what is shown.

    Attributes:
        beam_sizes: beam widths to compare.
        examples: how many outputs of each kind of error are printed.
    """

    beam_size: ClassVar[int] = BeamConfig.beam_size  # type: ignore[misc]
    coverage_penalty: ClassVar[float] = 0.0  # type: ignore[misc]  # references are scored without it
    n_best: ClassVar[int] = 1  # type: ignore[misc]
    beam_sizes: list[int] = field(default_factory=lambda: [1, 2, 5, 10])
    examples: int = setting(3, at_least=0)


@dataclass(frozen=True)
class LengthOptions(PairFiles, BeamConfig):
    """What is drawn.

    Attributes:
        labels: a name for each run (default: those of their folders).
        ranges: into how many ranges of about as many sentences lengths are cut.
    """

    n_best: ClassVar[int] = 1  # type: ignore[misc]
    labels: list[str] = field(default_factory=list)
    ranges: int = setting(8, at_least=1)
