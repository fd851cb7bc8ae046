"""A corpus that a small translator learns in seconds: words to the same words in reverse."""

from __future__ import annotations

import random
from pathlib import Path

from recurra.data.pairs import PairConfig
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.tasks.translate import EvaluationConfig, TranslateConfig
from recurra.training.config import PairTrainingConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig

WORDS = "abcdefg"


def reverse(line: str) -> str:
    return " ".join(line.split()[::-1])


def write_pairs(path: Path, count: int, seed: int = 3, names: bool = False) -> Path:
    """A tab-separated file of `count` different pairs; with `names`, half of them hold a word of their own."""
    draw = random.Random(seed)
    lines: dict[str, None] = {}
    while len(lines) < count:
        words = [draw.choice(WORDS) for _ in range(draw.randint(1, 5))]
        if names and draw.random() < 0.5:
            words[draw.randrange(len(words))] = f"name{len(lines)}"
        lines[" ".join(words)] = None
    path.write_text("".join(f"{line}\t{reverse(line)}\n" for line in lines))
    return path


def config(train: Path, data=None, model=None, **training) -> TranslateConfig:
    """Of a model of 32 units that learns the reversal in some seven epochs; `data` and `model` override."""
    sizes = {"hidden_size": 32, "embedding_size": 16, "dropout": 0.0, "label_smoothing": 0.0}
    portions = {"batch_tokens": 300, "device": "cpu"}
    return TranslateConfig(
        data=PairConfig(
            train=[str(train)],
            **({"source_vocabulary": "words", "target_vocabulary": "words"} | (data or {})),
        ),
        model=EncoderDecoderConfig(**(sizes | (model or {}))),
        evaluation=EvaluationConfig(metrics=["exact_match", "bleu"], allow_tokenised=True),
        training=PairTrainingConfig(**(portions | training)),
        optimiser=OptimiserConfig(learning_rate=0.015),
        schedule=ScheduleConfig(warmup_steps=0),
    )
