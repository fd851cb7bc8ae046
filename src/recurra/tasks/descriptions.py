"""What training says of its data before it begins: the rows that every task can give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from recurra.data.dataset import Dataset
from recurra.data.vocabularies import Vocabularies

Row = tuple[str, str]


def describe_splits(
    data: Dataset[Any], unit: str = "tokens", lead: Callable[[Any], str] = lambda split: ""
) -> Row:
    """How large each split is.

    Args:
        data: of splits that have a number of `tokens`, or a length.
        unit: what the tokens are.
        lead: what is said of a split before them.
    """
    splits = {"train": data.train, "validation": data.valid, "test": data.test}
    held_out = " (held out)" if "valid" not in data.digests else ""
    parts = [
        f"{name} {lead(split)}{_size(split):,}{f' {unit}' if name == 'train' else ''}"
        f"{held_out if name == 'validation' else ''}"
        for name, split in splits.items()
        if split is not None
    ]
    return "data", "; ".join(parts)


def describe_vocabularies(vocabularies: Vocabularies, valid: Mapping[str, NDArray[Any]]) -> list[Row]:
    """The kind and size of each vocabulary, and what of the validation data it does not know.

    Args:
        vocabularies: of a run.
        valid: the ids of the validation data, by the vocabulary's name, where there are ids.
    """
    rows = []
    for name, vocabulary in vocabularies.items():
        others = [other for other in vocabularies if other != name and vocabularies.joint(name, other)]
        text = f"{len(vocabulary):,} {vocabulary.kind}"
        ids = valid.get(name)
        if vocabulary.unk_id is not None and ids is not None and len(ids):
            unknown = int((ids == vocabulary.unk_id).sum())
            text += (
                f"; {unknown / len(ids):.2%} of the validation data unknown" if unknown else "; none unknown"
            )
        shared = f", shared with {', '.join(others)}" if others else ""
        of_which = f"{name}: " if len(vocabularies) > 1 else ""
        rows.append(("vocabulary", of_which + text + shared))
    return rows


def _size(split: Any) -> int:
    tokens = getattr(split, "tokens", None)
    return tokens if isinstance(tokens, int) else len(split)
