"""English to French, pairs of Tatoeba: BLEU on sentences held out, after twenty minutes of training on the CPU.

    python benchmarks/tatoeba.py --data fra.txt.gz [--minutes 20]

Each line of the file is an English sentence, a tab, and a French one. Many lines share their English sentence, so every
twentieth of the different English sentences, drawn with a fixed seed, is held out with all its translations, which are
its references; a twentieth of the others is for validation. Joint subwords of the text as it is. Beam 5.
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
    """Train, translate the sentences held out, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = [line.split("\t") for line in read_text(options.data).splitlines()]
        files = hold_out([(line[0].strip(), line[1].strip()) for line in lines], 20, Path(folder))
        config = from_recipe(
            TranslateConfig,
            "tatoeba",
            data={"train": [files["train"]], "test": [files["test"]]},
            training={"minutes": options.minutes},
        )
        run = recurra.train(config, out=Path(folder) / "run")
        evaluation = run.evaluate()
    print(
        json.dumps(
            {
                **{name: round(one.value, 2) for name, one in evaluation.scores.items()},
                "signature": evaluation.scores["bleu"].sacrebleu,
                "sentences": len(evaluation.tables["outputs"].rows),
                **speed_of_run(run.result, options.minutes),
            }
        )
    )


if __name__ == "__main__":
    main()
