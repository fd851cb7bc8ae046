"""Error rates by edit distance (Levenshtein 1966), and the share of outputs that are right as a whole.

A sequence is anything of comparable symbols: a list of words or phonemes, or a text, whose symbols are its
characters. Each output has one or more references and is compared with the closest one. All scores are
percentages; an error rate may pass 100.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from recurra.errors import DataError
from recurra.metrics.references import check_references
from recurra.metrics.score import Score

Symbols = Sequence[Hashable]


@dataclass(frozen=True, kw_only=True)
class ErrorRate(Score):
    """Edits per symbol of the reference, in percent; 0 is best, and more than 100 is possible.

    Attributes:
        edits: insertions, deletions and substitutions that turn each output into its closest reference.
        reference_length: symbols of those references, at least 1.
        sequences: number of outputs that were scored.
        unit: what a symbol is, in the singular: `token`, `phoneme`, `word`, `character`.
    """

    edits: int
    reference_length: int
    sequences: int
    unit: str

    def details(self) -> dict[str, Any]:
        """What was divided by what."""
        return {
            "edits": self.edits,
            "reference_length": self.reference_length,
            "sequences": self.sequences,
        }


@dataclass(frozen=True, kw_only=True)
class Share(Score):
    """How many outputs, taken as a whole, are right, or wrong, in percent.

    Attributes:
        count: how many of the outputs that is.
        sequences: how many outputs were compared, at least 1.
    """

    count: int
    sequences: int

    def details(self) -> dict[str, Any]:
        """What was divided by what."""
        return {"count": self.count, "sequences": self.sequences}


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
    hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]], unit: str = "token"
) -> ErrorRate:
    """Edits of all outputs together, divided by the length of their closest references together.

    Args:
        hypotheses: the outputs, each a sequence of symbols; empty ones are allowed.
        references: for each of them its references, one or more.
        unit: what a symbol is, in the singular.

    Raises:
        DataError: there is nothing to score, a hypothesis has no references, or the references hold no symbol.
    """
    check_references(hypotheses, references)
    closest = [
        closest_reference(hypothesis, listed)
        for hypothesis, listed in zip(hypotheses, references, strict=True)
    ]
    edits, length = sum(distance for distance, _ in closest), sum(len(reference) for _, reference in closest)
    if length < 1:
        raise DataError(f"references: expected at least one {unit} to divide the edits by, got none.")
    return ErrorRate(
        f"{unit}_error_rate",
        100 * edits / length,
        False,
        f"{unit} error rate = 100 edits to the closest reference / its {unit}s; "
        f"{edits} edits / {length} {unit}s, {len(closest)} sequences",
        edits=edits,
        reference_length=length,
        sequences=len(closest),
        unit=unit,
    )


def exact_match(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> Share:
    """The share of outputs that equal one of their references, symbol for symbol.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    matches = _matches(hypotheses, references)
    return _share("exact_match", True, "outputs equal to one of their references", matches, len(hypotheses))


def sequence_error_rate(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> Share:
    """The share of outputs that equal none of their references, symbol for symbol.

    So is pronunciation scored, where an output is the phonemes of one word.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    errors = len(hypotheses) - _matches(hypotheses, references)
    return _share(
        "sequence_error_rate", False, "outputs equal to none of their references", errors, len(hypotheses)
    )


def _share(name: str, higher_is_better: bool, counts: str, count: int, sequences: int) -> Share:
    signature = f"{name.replace('_', ' ')} = 100 {counts} / outputs; {count} / {sequences}"
    return Share(name, 100 * count / sequences, higher_is_better, signature, count=count, sequences=sequences)


def _matches(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> int:
    check_references(hypotheses, references)
    # A list never equals a tuple, whatever they hold.
    return sum(
        tuple(hypothesis) in map(tuple, listed)
        for hypothesis, listed in zip(hypotheses, references, strict=True)
    )
