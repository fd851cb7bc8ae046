"""Prediction: what a model says of one record, for people and for programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from recurra.errors import quoted


class Prediction(ABC):
    """What `Task.predict` gives for a record.

    Attributes:
        header: names of the columns of `line()`, shown above them on a terminal; empty for none.
        unknown: how many symbols of the record the vocabulary does not know.
        remark: what unknown symbols mean for the output, a clause that a note on them ends with; empty for none.
        truncated: the record was longer than the model was trained to read, and was cut.
    """

    header: ClassVar[str] = ""
    remark: ClassVar[str] = ""
    unknown: int = 0
    truncated: bool = False

    @property
    def symbols(self) -> int:
        """How many symbols the record is for the model; 0 where nothing counts them."""
        return 0

    def __repr__(self) -> str:
        """Its numbers and texts, these at most a line long; what is in lists is left out."""
        values = [f"{name}={_brief(value)}" for name, value in self.as_dict().items() if _is_plain(value)]
        return f"{type(self).__name__}({', '.join(values)})"

    @abstractmethod
    def line(self) -> str:
        """Plain output, without a line end at its end; several lines where several outputs were asked for."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and HTTP."""


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else quoted(value)
