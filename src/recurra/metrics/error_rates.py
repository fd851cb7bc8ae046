"""Error rates by edit distance (Levenshtein 1966), and the share of outputs that are right as a whole.

A sequence is anything of comparable symbols: a list of words or phonemes, or a text, whose symbols are its
characters. Each output has one or more references and is held against the closest one. All scores are
percentages; an error rate may pass 100.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from recurra.errors import DataError
from recurra.metrics.references import check_references

Symbols = Sequence[Hashable]


@dataclass(frozen=True)
class ErrorRate:
    """Edits per symbol of the reference.

    Attributes:
        edits: insertions, deletions and substitutions that turn each output into its closest reference.
        reference_length: symbols of those references, at least 1.
        sequences: how many outputs were scored.
        counted: what a symbol is, in the singular: `token`, `phoneme`, `character`.

    Raises:
        DataError: the references hold no symbol.
    """

    edits: int
    reference_length: int
    sequences: int
    counted: str = "token"

    def __post_init__(self) -> None:
        if self.reference_length < 1:
            raise DataError(
                f"references: expected at least one {self.counted} to divide the edits by, got none."
            )

    @property
    def score(self) -> float:
        """100 edits / reference_length; 0 is best, and more than 100 is possible."""
        return 100 * self.edits / self.reference_length

    @property
    def recipe(self) -> str:
        """What was divided by what, in one line."""
        return (
            f"{self.counted} error rate = 100 edits to the closest reference / its {self.counted}s; "
            f"{self.edits} edits / {self.reference_length} {self.counted}s, {self.sequences} sequences"
        )

    def as_dict(self) -> dict[str, Any]:
        """The figure and what it is made of, as plain values."""
        return {
            f"{self.counted}_error_rate": self.score,
            "edits": self.edits,
            "reference_length": self.reference_length,
            "sequences": self.sequences,
            "recipe": self.recipe,
        }


@dataclass(frozen=True)
class Share:
    """How many outputs, taken as a whole, are right, or wrong.

    Attributes:
        name: that of the metric, `exact match` or `word error rate`.
        counts: what is counted, in words.
        count: how many of the outputs that is.
        sequences: how many outputs were compared, at least 1.
    """

    name: str
    counts: str
    count: int
    sequences: int

    @property
    def score(self) -> float:
        """100 count / sequences."""
        return 100 * self.count / self.sequences

    @property
    def recipe(self) -> str:
        """What was divided by what, in one line."""
        return f"{self.name} = 100 {self.counts} / outputs; {self.count} / {self.sequences}"

    def as_dict(self) -> dict[str, Any]:
        """The figure and what it is made of, as plain values."""
        return {
            self.name.replace(" ", "_"): self.score,
            "count": self.count,
            "sequences": self.sequences,
            "recipe": self.recipe,
        }


def edit_distance(hypothesis: Symbols, reference: Symbols) -> int:
    """The fewest insertions, deletions and substitutions of a symbol that turn one into the other."""
    if hypothesis == reference:
        return 0
    # above[j]: the distance between the symbols of the hypothesis so far and the first j of the reference.
    above = list(range(len(reference) + 1))
    for row, symbol in enumerate(hypothesis, start=1):
        diagonal, left = row - 1, row
        above[0] = row
        for column, expected in enumerate(reference, start=1):
            if symbol == expected:
                left = diagonal
            else:
                left = 1 + min(diagonal, left, above[column])
            diagonal, above[column] = above[column], left
    return above[-1]


def closest_reference(hypothesis: Symbols, references: Sequence[Symbols]) -> tuple[int, Symbols]:
    """The smallest edit distance to a reference, and that reference.

    Of references as close, the longest is taken, for which the error is relatively smallest; of those as
    long, the first.
    """
    distances = [edit_distance(hypothesis, reference) for reference in references]
    return min(
        zip(distances, references, strict=True), key=lambda candidate: (candidate[0], -len(candidate[1]))
    )


def error_rate(
    hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]], counted: str = "token"
) -> ErrorRate:
    """Edits of all outputs together, divided by the length of their closest references together.

    Args:
        hypotheses: the outputs, each a sequence of symbols; empty ones are allowed.
        references: for each of them its references, one or more.
        counted: what a symbol is, in the singular.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    check_references(hypotheses, references)
    closest = [
        closest_reference(hypothesis, listed)
        for hypothesis, listed in zip(hypotheses, references, strict=True)
    ]
    return ErrorRate(
        edits=sum(distance for distance, _ in closest),
        reference_length=sum(len(reference) for _, reference in closest),
        sequences=len(closest),
        counted=counted,
    )


def exact_match(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> Share:
    """The share of outputs that equal one of their references, symbol for symbol.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    matches = _matches(hypotheses, references)
    return Share("exact match", "outputs equal to one of their references", matches, len(hypotheses))


def word_error_rate(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> Share:
    """The share of outputs, each the symbols of one word, that equal none of their references.

    So is pronunciation scored; the word error rate of sentences is the `error_rate` of their words.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    errors = len(hypotheses) - _matches(hypotheses, references)
    return Share("word error rate", "outputs equal to none of their references", errors, len(hypotheses))


def _matches(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> int:
    check_references(hypotheses, references)
    # A list never equals a tuple, whatever they hold.
    return sum(
        tuple(hypothesis) in map(tuple, listed)
        for hypothesis, listed in zip(hypotheses, references, strict=True)
    )
