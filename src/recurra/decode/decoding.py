"""Decoding: what sampling needs of a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from recurra.contracts import Batch


@dataclass(frozen=True)
class Decoding:
    """What sampling needs of a record.

    Attributes:
        batch: what the model's stepper is bound to, one row.
        prompt: what every sample reads before it draws: ids `[P]`, or note sets `[P, V]`; may be empty.
        stop: the id that ends a sample, or None to draw to the limit.
        forbid: ids that are never drawn; UNK, for example.
        text: the text of drawn ids `[T]` or note sets `[T, V]`, the prompt included where samples continue it.
        data: the same as bytes, where the symbols are bytes; else None.
        note: a line on what of the record the vocabulary does not know; empty where it knows all.
    """

    batch: Batch
    prompt: Tensor
    stop: int | None
    forbid: tuple[int, ...]
    text: Callable[[Tensor], str]
    data: Callable[[Tensor], bytes] | None = None
    note: str = ""
