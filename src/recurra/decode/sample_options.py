"""What can be asked of `sample`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from recurra.decode.config import SamplingConfig
from recurra.settings import setting


@dataclass(frozen=True)
class SampleOptions(SamplingConfig):
    """What is drawn, and how.

    Attributes:
        prompt: what the model is given: the beginning of a text, which it continues, or a source to translate.
        n: number of samples.
        stop_at_line_end: stop at the first line end; a model of separate lines always does.
        weights: how the recurrent layers' weights are held (default: as they are); fewer bits are faster to read, and
            change the loss a little.
    """

    prompt: str | None = None
    n: int = setting(1, at_least=1)
    stop_at_line_end: bool = False
    weights: Literal["float32", "bfloat16", "int8"] | None = None

    def sampling(self) -> SamplingConfig:
        """What of it decoding needs."""
        names = [field.name for field in dataclasses.fields(SamplingConfig)]
        return SamplingConfig(**{name: getattr(self, name) for name in names})
