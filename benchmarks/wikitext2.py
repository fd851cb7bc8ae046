"""WikiText-2, words: test perplexity after a given time of training on the CPU.

    python benchmarks/wikitext2.py --data FOLDER --minutes 60

FOLDER holds wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens, plain or .gz. The clock runs from the
first batch to the end of the last update, intermediate evaluations included; the weights are those after the
last update. Training estimates the output layer's loss from sampled words; evaluation is exact: every token of
the split, <unk> and the line ends counted, as one stream from the zero state, without dynamic evaluation or
cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from recipe import from_recipe

import recurra
from recurra.errors import RecurraError
from recurra.inspection.machine import describe


def find(folder: Path, split: str) -> str:
    """The split's file in the folder."""
    for name in (f"wiki.{split}.tokens", f"wiki.{split}.tokens.gz"):
        if (folder / name).is_file():
            return str(folder / name)
    raise SystemExit(f"wikitext2: {folder} holds no wiki.{split}.tokens, plain or .gz.")


def configure(folder: Path, minutes: float) -> recurra.LMConfig:
    """One LSTM of 400, its embedding tied to the output layer."""
    return from_recipe(
        recurra.LMConfig,
        "wikitext2",
        data={split: [find(folder, split)] for split in ("train", "valid", "test")},
        training={"minutes": minutes},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path, help="the folder of the three files")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time")
    parser.add_argument("--out", type=Path, help="keep the run here; otherwise it is removed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch) / "run"
        try:
            run = recurra.train(configure(arguments.data, arguments.minutes), out=out)
            scores = {
                split: run.evaluate({"test": [find(arguments.data, split)]}) for split in ("test", "valid")
            }
        except RecurraError as error:
            raise SystemExit(f"wikitext2: {error}") from error
        assert run.result is not None
        result = {
            "test_perplexity": round(scores["test"].scores["perplexity"].value, 2),
            "valid_perplexity": round(scores["valid"].scores["perplexity"].value, 2),
            "test_tokens": scores["test"].tokens,
            "vocabulary": len(run.vocabularies["text"]),
            "epochs": round(run.result.epoch, 2),
            "updates": run.result.step,
            "seconds": round(run.result.seconds, 1),
            "tokens_per_second": round(run.result.tokens / run.result.seconds),
            **describe(),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
