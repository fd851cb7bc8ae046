"""Dates as people write them to ISO dates: exact match on a held-out tenth after three minutes on the CPU.

    python benchmarks/dates.py --data date.txt.gz [--minutes 3]

Each line of the file is a date, "_", and the ISO date. Every tenth of the different dates, drawn with a fixed seed, is
held out, and a twentieth of the others is for validation. Characters on both sides.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from held_out import hold_out
from recipe import from_recipe
from speed_of_run import speed_of_run

import recurra
from recurra.data.text import read_text
from recurra.tasks.translate import TranslateConfig


def main() -> None:
    """Train, evaluate, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [line.split("_", 1) for line in read_text(options.data).splitlines()]
        files = hold_out([(source.strip(), target.strip()) for source, target in pairs], 10, Path(folder))
        config = from_recipe(
            TranslateConfig,
            "dates",
            data={"train": [files["train"]], "test": [files["test"]]},
            training={"minutes": options.minutes},
        )
        run = recurra.train(config, out=Path(folder) / "run")
        evaluation = run.evaluate()
    print(
        json.dumps(
            {
                "exact_match": round(evaluation.scores["exact_match"].value, 3),
                "signature": evaluation.scores["exact_match"].signature,
                "sentences": len(evaluation.tables["outputs"].rows),
                **speed_of_run(run.result, options.minutes),
            }
        )
    )


if __name__ == "__main__":
    main()
