"""Score: what every metric gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """A figure that says how it was computed.

        score = Score("accuracy", 93.1, True, "100 right / 1000 outputs")

    Attributes:
        name: of the metric, as configurations call it.
        value: the figure.
        higher_is_better: a larger value is the better one.
        signature: how it was computed and from what counts, in one line.
    """

    name: str
    value: float
    higher_is_better: bool
    signature: str

    @property
    def cost(self) -> float:
        """The number that is to fall: the value, negated where higher is better."""
        return -self.value if self.higher_is_better else self.value

    def details(self) -> dict[str, Any]:
        """The counts behind the figure, as plain values."""
        return {}

    def as_dict(self) -> dict[str, Any]:
        """The figure by its name, the counts behind it, and its signature, as plain values."""
        return {self.name: self.value, **self.details(), "signature": self.signature}

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')} {self.value:.4g} ({self.signature})"
