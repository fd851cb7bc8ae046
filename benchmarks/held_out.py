"""Splits of pairs by their unique sources, for benchmarks whose data comes without a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def hold_out(pairs: Sequence[tuple[str, str]], one_in: int, folder: Path) -> dict[str, str]:
    """Write `train.tsv` and `test.tsv`: one in so many unique sources, drawn with a fixed seed, is for the test.

    All targets of a source are on its side.
    """
    sources = sorted({source for source, _ in pairs})
    order = np.random.default_rng(1984).permutation(len(sources))
    held_out = {sources[index] for index in order[: len(sources) // one_in]}
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for source, target in pairs:
        lines["test" if source in held_out else "train"].append(f"{source}\t{target}\n")
    files = {name: folder / f"{name}.tsv" for name in lines}
    for name, file in files.items():
        file.write_text("".join(lines[name]), encoding="utf-8")
    return {name: str(file) for name, file in files.items()}
