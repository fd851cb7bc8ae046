"""Prediction: what a model says of one record, for people and for programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar


class Prediction(ABC):
    """What `Task.predict` gives for a record.

    Attributes:
        header: names of the columns of `line()`, shown above them on a terminal; empty for none.
        unknown: how many symbols of the record the vocabulary does not know.
        truncated: the record was longer than the model was trained to read, and was cut.
    """

    header: ClassVar[str] = ""
    unknown: int = 0
    truncated: bool = False

    @abstractmethod
    def line(self) -> str:
        """Plain output, without a line end at its end; several lines where several outputs were asked for."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and HTTP."""
