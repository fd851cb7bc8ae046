"""A text that a small language model learns in seconds, and how small it is."""

from __future__ import annotations

TEXT = "the apple and pear salad was delicious\nthe pear and apple salad was delicious\n" * 12
SMALL = [
    *(
        "--model.hidden_size",
        "12",
        "--training.steps",
        "40",
        "--training.batch_size",
        "4",
        "--training.bptt",
        "8",
    ),
    *("--optimiser.learning_rate", "0.03", "--schedule.warmup_steps", "0"),
]
