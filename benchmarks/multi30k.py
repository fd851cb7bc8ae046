"""Multi30k, German to English, test2016: BLEU after a given time of training on the CPU.

    python benchmarks/multi30k.py --data FOLDER --minutes 60 [--runs 1] [--attention none] [--model transformer]

FOLDER holds `tok/` and `raw/` of Multi30k, files plain or .gz. Trained on the lower-cased tokenised files, in subwords
of a joint vocabulary; words are put together again before anything is scored. The clock runs from the first batch to
the end of the last update, intermediate evaluations included. Settings, and which weights are used, were and are
chosen on val only. With `--runs N` the minutes are shared by N runs, each of which starts with the weights of the one
before it and at the full learning rate again (cosine annealing with restarts, Loshchilov & Hutter 2017), and which
translate together, by the mean of their probabilities (snapshot ensembles, Huang et al. 2017); `minutes`, `updates` and
`epochs` are of one of them.
`bleu` is by sacrebleu over the tokenised text (`--tokenize none --allow-tokenised`), beam 5; `detokenised_bleu` over
the output with its tokens joined, against the raw references, without case.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from multi30k_files import find, tokenised
from recipe import from_recipe
from speed_of_run import speed_of_run

import recurra
from recurra.data.text import read_text
from recurra.decode import BeamConfig
from recurra.metrics.bleu import corpus_bleu
from recurra.metrics.score import Score
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.tasks.run import Run
from recurra.tasks.translate import TranslateConfig
from recurra.training.optimiser_config import OptimiserConfig

PENALTIES = (0.8, 0.9, 1.0)  # one of these was the best on val of all earlier runs
LONG = 40.0  # minutes; from there on the time is shared by several runs


def configure(
    folder: Path, minutes: float, attention: str, model: str, number: int, before: Path | None
) -> TranslateConfig:
    """The settings of a run of so many minutes, chosen on val; of several, the one of this number.

    Args:
        folder: of the data.
        minutes: of this run.
        attention, model: as on the command line.
        number: from 1 on.
        before: the run that it starts from.
    """
    recurrent = {
        "num_layers": 2 if attention == "gnmt" else 1,
        "attention": attention,
        "dropout": 0.2 if before is None and minutes < LONG else 0.3,
    }
    transformer = {"architecture": "transformer", "num_layers": 3, "dropout": 0.3}
    config = from_recipe(
        TranslateConfig,
        "multi30k",
        data=tokenised(folder),
        model=recurrent,
        training={"minutes": minutes, "seed": number, "start_from": before and str(before)},
    )
    if model == "recurrent":
        return config
    yardstick = EncoderDecoderConfig(**transformer, embedding_size=256, tied="all", label_smoothing=0.1)
    return replace(config, model=yardstick, optimiser=OptimiserConfig(learning_rate=1e-3))


def bleu(run: Run, beam: BeamConfig, files: dict[str, list[str]] | None = None) -> Score:
    """BLEU of what a beam search finds, of the given files or of the test files."""
    how = {"beam_size": beam.beam_size, "length_penalty": beam.length_penalty}
    return run.evaluate(files, **how).scores["bleu"]


def best_beam(run: Run, others: list[Run], files: dict[str, list[str]]) -> BeamConfig:
    """The search with the length penalty that does best on val."""
    val = {"test_source": files["valid_source"], "test_target": files["valid_target"]}
    beams = [BeamConfig(beam_size=5, length_penalty=alpha) for alpha in PENALTIES]
    run = run.with_ensemble(others)
    scores = [bleu(run, beam, val).value for beam in beams]
    print("val, beam 5:", *(f"{score:.2f} at alpha {a}" for score, a in zip(scores, PENALTIES, strict=True)))
    return beams[scores.index(max(scores))]


def detokenised(line: str) -> str:
    """English as it is written: what Moses's tokeniser parts is joined."""
    line = line.replace("&apos;", "'").replace("&quot;", '"').replace("&amp;", "&")
    line = re.sub(r" ([.,!?;:)'])", r"\1", line)
    line = re.sub(r"([(]) ", r"\1", line)
    return re.sub(r'" (.*?) "', r'"\1"', line)


def main() -> None:
    """Train, translate test2016, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--attention",
        default="luong",
        choices=["none", "bahdanau", "luong", "gnmt"],
    )
    parser.add_argument("--model", default="recurrent", choices=["recurrent", "transformer"])
    parser.add_argument(
        "--runs",
        type=int,
        help=f"how many share the minutes; by default one, from {LONG:.0f} minutes on three",
    )
    parser.add_argument("--out", type=Path, help="keep the runs there, in folders 1, 2 and so on")
    options = parser.parse_args()
    count = (1 if options.minutes < LONG else 3) if options.runs is None else options.runs
    if count < 1:
        parser.error(f"--runs: expected at least 1, got {count}.")
    minutes, attention = options.minutes / count, options.attention
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        runs: list[Run] = []
        for number in range(1, count + 1):
            before = runs[-1].path if runs else None
            config = configure(options.data, minutes, attention, options.model, number, before)
            runs.append(recurra.train(config, out=out / str(number)))
        *others, run = runs
        beam = best_beam(run, others, tokenised(options.data))
        together = run.with_ensemble(others)
        evaluation = together.evaluate(beam_size=beam.beam_size, length_penalty=beam.length_penalty)
        greedy = together.evaluate(greedy=True)
        alone = [bleu(one, beam).value for one in runs] if others else []
        validation = [one.result.best_metrics["valid_bleu"] for one in runs]
    raw = read_text(find(options.data / "raw", "test_2016_flickr.en")).splitlines()
    written = corpus_bleu(
        [detokenised(line) for _, line, *_ in evaluation.tables["outputs"].rows],
        [[line] for line in raw],
        lowercase=True,
    )
    print(
        json.dumps(
            {
                "bleu": round(evaluation.scores["bleu"].value, 2),
                "signature": evaluation.scores["bleu"].sacrebleu,
                "greedy_bleu": round(greedy.scores["bleu"].value, 2),
                "detokenised_bleu": round(written.value, 2),
                "detokenised_signature": written.sacrebleu,
                "bleu_alone": [round(one, 2) for one in alone],
                "validation_bleu": [round(one, 2) for one in validation],
                "length_penalty": beam.length_penalty,
                "runs": count,
                "updates": run.result.step,
                "parameters": sum(weight.numel() for one in runs for weight in one.model.parameters()),
                "model": options.model,
                "attention": attention if options.model == "recurrent" else None,
                **speed_of_run(run.result, minutes),
            }
        )
    )


if __name__ == "__main__":
    main()
