"""Dataset: what a run learns from, split, in the ids of its vocabularies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from recurra.data.vocabularies import Vocabularies

AnySplit = TypeVar("AnySplit")


@dataclass(frozen=True, eq=False)
class Dataset(Generic[AnySplit]):
    """What a run learns from.

    Attributes:
        train, valid, test: the splits; test is None where none is configured.
        vocabularies: in whose ids the splits are, built from the training split only.
        digests: SHA-256 of the files' unpacked content, under `train`, and under `valid` and `test` where
            files of their own were given; and of the lines drawn for validation, under `valid`.
    """

    train: AnySplit
    valid: AnySplit
    test: AnySplit | None
    vocabularies: Vocabularies
    digests: dict[str, str]
