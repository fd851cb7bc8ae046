"""What the plain command reaches, beside the best settings by hand that were found, in the same minutes.

    python benchmarks/defaults.py --task translate --data fra.txt.gz --sizes 5000 20000 150000 --minutes 3 20
    python benchmarks/defaults.py --task lm --data wiki.train.tokens.gz --sizes 100000 1000000 10000000 --minutes 3 20

Of pairs, so many of the file's lines, drawn with a fixed seed, are learned from, and the score is BLEU of a beam of 5
on a thousand sentences that every size holds out. Of text, its first so many characters are learned from, and the score
is nats per character on its last 300,000. `plain` gives nothing but the data and the minutes; `hand_set` are the
settings in `HAND_SET`, each the best of a search by hand on two cores for about this size and time. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from held_out import hold_out

import recurra
from recurra.data.text import read_text
from recurra.inspection.machine import describe
from recurra.settings import replaced
from recurra.tasks.registry import find_task

SCORED_CHARACTERS, SCORED_SENTENCES = 300_000, 1000

COUPLED = {  # as in the recipe `tinyshakespeare`
    "model.cell": "coupled_lstm",
    "model.hidden_size": 448,
    "model.embedding_size": 64,
    "model.initial_bias": {"update": 0.0},
    "training.batch_size": 32,
    "training.bptt": 32,
    "training.weights": "last",
    "optimiser.learning_rate": 0.01,
    "optimiser.weight_decay": 0.05,
    "schedule.name": "linear",
    "schedule.warmup_steps": 50,
}


def lstm(hidden: int, rate: float, dropout: float, weight_drop: float) -> dict[str, Any]:
    """A language model of one LSTM."""
    return {
        "model.hidden_size": hidden,
        "model.embedding_size": 64,
        "model.dropout": dropout,
        "model.regularisation.weight_drop": weight_drop,
        "training.batch_size": 32,
        "training.bptt": 32,
        "optimiser.learning_rate": rate,
        "schedule.warmup_steps": 50,
    }


def translator(subwords: int, hidden: int, embedding: int, rate: float, dropout: float) -> dict[str, Any]:
    """A translator of subwords in batches of 500."""
    return {
        "data.source_vocabulary": "subwords",
        "data.target_vocabulary": "subwords",
        "data.subword_size": subwords,
        "model.hidden_size": hidden,
        "model.embedding_size": embedding,
        "model.dropout": dropout,
        "training.batch_tokens": 500,
        "optimiser.learning_rate": rate,
        "schedule.warmup_steps": 100,
        "evaluation.sentences": 500,
    }


HAND_SET: dict[tuple[str, int, float], dict[str, Any]] = {
    ("lm", 100_000, 3): lstm(320, 0.0095, 0.5, 0.5),
    ("lm", 1_000_000, 3): COUPLED | {"model.dropout": 0.3, "model.regularisation.weight_drop": 0.0},
    ("lm", 10_000_000, 3): COUPLED | {"model.dropout": 0.0, "model.regularisation.weight_drop": 0.0},
    ("translate", 5_000, 3): translator(1500, 128, 96, 0.004, 0.3),
    ("translate", 20_000, 3): translator(2000, 192, 128, 0.003, 0.1),
    ("translate", 150_000, 3): translator(2500, 160, 128, 0.004, 0.0),
}
"""By task, size and minutes."""


def main() -> None:
    """Train both ways for every size and time, and print the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=["lm", "translate"], required=True)
    parser.add_argument("--data", type=Path, required=True, help="a text, or lines of two or more columns")
    parser.add_argument("--sizes", type=int, nargs="+", required=True, help="characters, or pairs")
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0])
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            prepare = pairs_of if options.task == "translate" else text_of
            files = prepare(options.data, size, Path(folder))
            for minutes in options.minutes:
                by_hand = hand_set(options.task, size, minutes)
                results.append(
                    {"size": size, "minutes": minutes}
                    | {
                        name: trained(options.task, files, minutes, values, Path(folder) / "run")
                        for name, values in (("plain", {}), ("hand_set", by_hand))
                    }
                )
                print(json.dumps(results[-1]), flush=True)
    print(json.dumps({"task": options.task, "results": results, **describe()}))


def trained(
    task: str, files: Mapping[str, str], minutes: float, values: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    """The score of one run, and what it was made with."""
    config = replaced(
        find_task(task).config(),
        {
            "data.train": [files["train"]],
            "data.test": [files["test"]],
            "training.minutes": minutes,
            "training.epochs": None,
            **values,
        },
    )
    run = recurra.train(config, out=out, overwrite=True)
    evaluation = run.evaluate(sentences=SCORED_SENTENCES) if task == "translate" else run.evaluate()
    figures = evaluation.figures()
    assert run.result is not None
    return {
        "score": round(figures["bleu" if task == "translate" else "loss"], 3),
        "updates": run.result.step,
        "hidden_size": run.config.model.hidden_size,
        "dropout": run.config.model.dropout,
        "learning_rate": run.config.optimiser.learning_rate,
    }


def hand_set(task: str, size: int, minutes: float) -> dict[str, Any]:
    """The settings for the size and time nearest to these, in proportion."""
    there = [key for key in HAND_SET if key[0] == task]
    nearest = min(there, key=lambda key: abs(math.log(key[1] / size)) + abs(math.log(key[2] / minutes)))
    return HAND_SET[nearest]


def pairs_of(data: Path, size: int, folder: Path) -> dict[str, str]:
    """The files of so many pairs, and of those held out."""
    lines = [line.split("\t") for line in read_text(data).splitlines()]
    files = hold_out([(line[0].strip(), line[1].strip()) for line in lines], 20, folder)
    train = Path(files["train"])
    pairs = train.read_text(encoding="utf-8").split("\n")[:-1]
    chosen = np.random.default_rng(7).permutation(len(pairs))[:size]
    train.write_text("".join(f"{pairs[index]}\n" for index in chosen), encoding="utf-8")
    return files


def text_of(data: Path, size: int, folder: Path) -> dict[str, str]:
    """The files of so many characters, and of those held out."""
    text = read_text(data)
    kept = min(SCORED_CHARACTERS, len(text) // 10)
    parts = {"train": text[: min(size, len(text) - kept)], "test": text[-kept:]}
    files = {name: folder / f"{name}.txt" for name in parts}
    for name, part in parts.items():
        files[name].write_text(part, encoding="utf-8", newline="")
    return {name: str(file) for name, file in files.items()}


if __name__ == "__main__":
    main()
