"""Where the files of Multi30k, German to English, lie, for benchmarks that take its folder."""

from __future__ import annotations

import sys
from pathlib import Path

SPLITS = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
SIDES = {"source": "de", "target": "en"}


def find(folder: Path, name: str) -> str:
    """A file of the folder, plain or .gz."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return str(path)
    raise SystemExit(f"{Path(sys.argv[0]).stem}: {folder} holds no {name}, plain or .gz.")


def tokenised(folder: Path) -> dict[str, list[str]]:
    """The lower-cased tokenised files, by the names that `PairConfig` gives them."""
    return {
        f"{split}_{side}": [find(folder / "tok", f"{name}.lc.norm.tok.{language}")]
        for split, name in SPLITS.items()
        for side, language in SIDES.items()
    }
