"""A small trained translator that several files look into."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import recurra

PAIRS = {"ein": "a", "der": "the", "hund": "dog", "frau": "woman", "rot": "red", "isst": "eats"}


@pytest.fixture(scope="session")
def word_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Word-by-word translations, reversed."""
    drawn = random.Random(5)
    sources = [drawn.choices(list(PAIRS), k=drawn.randint(1, 7)) for _ in range(90)]
    lines = [" ".join(s) + "\t" + " ".join(PAIRS[word] for word in s[::-1]) for s in sources]
    path = tmp_path_factory.mktemp("looks") / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def word_translator(word_pairs: Path) -> recurra.Run:
    config = recurra.TranslateConfig(
        data=recurra.PairConfig(
            train=[str(word_pairs)], source_vocabulary="words", target_vocabulary="words", held_out=0.3
        ),
        model=recurra.EncoderDecoderConfig(
            hidden_size=10, embedding_size=7, dropout=0.1, backend="reference"
        ),
        evaluation=recurra.EvaluationConfig(metrics=["exact_match"]),
        training=recurra.PairTrainingConfig(steps=25, batch_tokens=300, evaluate_every=25),
        optimiser=recurra.OptimiserConfig(learning_rate=0.03),
        schedule=recurra.ScheduleConfig(warmup_steps=0),
    )
    trained: recurra.Run = recurra.train(config, word_pairs.with_name("run"))
    return trained
