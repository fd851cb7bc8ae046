"""Multi30k, German to English, test2016: BLEU after a given time of training on the CPU.

    python benchmarks/multi30k.py --data FOLDER --minutes 60 [--runs 1] [--attention none] [--model transformer]

FOLDER holds `tok/` and `raw/` of Multi30k, files plain or .gz. Trained on the lower-cased tokenised files, in subwords
of a joint vocabulary; words are put together again before anything is scored. The clock runs from the first batch to
the end of the last update, intermediate evaluations included. Settings, and which weights are used, were and are
chosen on val only. With `--runs N` the minutes are shared by N runs, each of which starts with the weights of the one
before it and at the full learning rate again (cosine annealing with restarts, Loshchilov & Hutter 2017), and which
translate together, by the mean of their probabilities (snapshot ensembles, Huang et al. 2017); `minutes`, `updates` and
`epochs` are of one of them.
`bleu` is by sacrebleu over the tokenised text (`--tokenize none --force`), beam 5; `detokenised_bleu` over the output
with its tokens joined, against the raw references, without case.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path

from multi30k_files import find, tokenised
from speed_of_run import speed_of_run

import recurra
from recurra.data.pairs import PairConfig
from recurra.data.text import read_text
from recurra.decode import BeamConfig
from recurra.metrics.bleu import corpus_bleu
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.tasks.translate import EvaluationConfig, TranslateConfig
from recurra.tasks.translation_run import TranslationRun
from recurra.training.config import PairTrainingConfig
from recurra.training.optimiser import OptimiserConfig
from recurra.training.schedule import ScheduleConfig

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
    recurrent = EncoderDecoderConfig(
        hidden_size=512,
        num_layers=2 if attention == "gnmt" else 1,
        encoder_layers=1,
        embedding_size=256,
        tied="all",
        attention=attention,
        dropout=0.2 if before is None and minutes < LONG else 0.3,
        label_smoothing=0.1,
    )
    transformer = EncoderDecoderConfig(
        architecture="transformer",
        num_layers=3,
        embedding_size=256,
        tied="all",
        dropout=0.3,
        label_smoothing=0.1,
    )
    return TranslateConfig(
        data=PairConfig(
            **tokenised(folder),
            source_vocabulary="subwords",
            target_vocabulary="subwords",
            joint=True,
            subword_size=6000,
        ),
        model=recurrent if model == "recurrent" else transformer,
        evaluation=EvaluationConfig(metrics=["bleu"], tokenize="none", force=True),
        training=PairTrainingConfig(
            batch_tokens=1500,
            evaluate_every=2000,
            minutes=minutes,
            seed=number,
            device="cpu",
            start_from=before and str(before),
        ),
        optimiser=OptimiserConfig(learning_rate=2e-3 if model == "recurrent" else 1e-3),
        schedule=ScheduleConfig(name="cosine", warmup_steps=100),
    )


def best_beam(run: TranslationRun, others: list[TranslationRun], files: dict[str, list[str]]) -> BeamConfig:
    """The search with the length penalty that does best on val."""
    val = {"test_source": files["valid_source"], "test_target": files["valid_target"]}
    beams = [BeamConfig(beam_size=5, length_penalty=alpha) for alpha in PENALTIES]
    scores = [run.evaluate(**val, beam=beam, others=others).scores["bleu"].score for beam in beams]
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
        runs: list[TranslationRun] = []
        for number in range(1, count + 1):
            before = runs[-1].path if runs else None
            config = configure(options.data, minutes, attention, options.model, number, before)
            runs.append(recurra.train(config, out=out / str(number)))
        *others, run = runs
        beam = best_beam(run, others, tokenised(options.data))
        evaluation = run.evaluate(beam=beam, others=others)
        greedy = run.evaluate(greedy=True, others=others)
        alone = [one.evaluate(beam=beam).scores["bleu"].score for one in runs] if others else []
        validation = [max(row["valid_bleu"] for row in one.directory.metrics()) for one in runs]
    raw = read_text(find(options.data / "raw", "test_2016_flickr.en")).splitlines()
    written = corpus_bleu(
        [detokenised(line) for line in evaluation.outputs], [[line] for line in raw], lowercase=True
    )
    print(
        json.dumps(
            {
                "bleu": round(evaluation.scores["bleu"].score, 2),
                "signature": evaluation.scores["bleu"].signature,
                "greedy_bleu": round(greedy.scores["bleu"].score, 2),
                "detokenised_bleu": round(written.score, 2),
                "detokenised_signature": written.signature,
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
