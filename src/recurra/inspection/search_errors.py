"""Whose fault a wrong output is: the model's, which prefers it to the reference, or the search's, which missed it.

An output that differs from all its references is a model error where its score is at least that of each of
them, and a search error where the model scores a reference higher, which the search could then have found
(or, longer than the limit, was not allowed to).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["equal", "model", "search"]

KINDS: dict[Kind, str] = {
    "equal": "equal to a reference",
    "model": "model error",
    "search": "search error",
}
"""Each kind in words, in the order in which they are shown."""


@dataclass(frozen=True)
class Comparison:
    """An output beside the reference that the model scores highest.

    Attributes:
        source, output, reference: their text.
        output_score, reference_score: by which the search ranks.
        equal: the output is one of the references, symbol for symbol.
    """

    source: str
    output: str
    reference: str
    output_score: float
    reference_score: float
    equal: bool

    @property
    def kind(self) -> Kind:
        """What the output is."""
        if self.equal:
            return "equal"
        return "search" if self.reference_score > self.output_score else "model"


@dataclass(frozen=True)
class SearchErrors:
    """The outputs of one beam size.

    Attributes:
        beam_size: how many hypotheses lived at a time.
        comparisons: one per source.
        metric: the name of the metric below.
        score: of the outputs, in percent.
    """

    beam_size: int
    comparisons: Sequence[Comparison]
    metric: str
    score: float

    def count(self, kind: Kind) -> int:
        """How many outputs are of a kind."""
        return sum(one.kind == kind for one in self.comparisons)

    def examples(self, kind: Kind, most: int) -> list[Comparison]:
        """Up to `most` outputs of a kind, those first whose scores differ most from their reference's."""
        of_kind = [one for one in self.comparisons if one.kind == kind]
        return sorted(of_kind, key=lambda one: -abs(one.output_score - one.reference_score))[:most]

    def as_dict(self, examples: int = 3) -> dict[str, Any]:
        """Counts, score and examples as plain values, for JSON.

        Args:
            examples: how many of each kind of error, at most.
        """
        faults: tuple[Kind, ...] = ("model", "search")
        return {
            "beam_size": self.beam_size,
            "sentences": len(self.comparisons),
            "equal": self.count("equal"),
            **{f"{kind}_errors": self.count(kind) for kind in faults},
            self.metric: self.score,
            **{f"{kind}_examples": [asdict(one) for one in self.examples(kind, examples)] for kind in faults},
        }
