"""tinyshakespeare, characters, 90/10: nats per character after a given time of training on the CPU.

    python benchmarks/shakespeare.py --data input.txt.gz --seconds 180

Trains recurra's language model for that long, then the stock recipe, written by hand on nn.LSTM, for as
long. The clock runs from the first batch to the end of the last update; the weights are those after the last
update. Then the last tenth of the text, which neither has seen, is scored as one stream from the zero
state, every character once, without dynamic evaluation or cache. Settings were chosen on the last tenth of
the training part (`--tune` trains on the rest of it, and scores that).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recipe import from_recipe
from torch import Tensor, nn
from torch.nn import functional

import recurra
from recurra.data.text import read_text
from recurra.inspection.machine import describe

SEED = 1


def recurra_nats(train: str, held_out: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Train by `recurra.train` and score by `run.evaluate`."""
    files = {"train": folder / "train.txt", "test": folder / "test.txt"}
    for name, text in (("train", train), ("test", held_out)):
        files[name].write_text(text, encoding="utf-8", newline="")
    config = from_recipe(
        recurra.LMConfig,
        "tinyshakespeare",
        data={"train": [str(files["train"])], "valid": [str(files["test"])]},
        training={"minutes": seconds / 60, "seed": SEED},
    )
    run = recurra.train(config, out=folder / "run")
    assert run.result is not None
    score = run.evaluate({"test": [str(files["test"])]})
    return {
        "nats": score.loss,
        "characters": score.tokens,
        "updates": run.result.step,
        "seconds": run.result.seconds,
        "characters_per_second": run.result.tokens / run.result.seconds,
    }


class Stock(nn.Module):
    """Embedding 64, one LSTM of 384, dropout 0.15 on its output, an untied output layer."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 64)
        self.lstm = nn.LSTM(64, 384, batch_first=True)
        self.dropout = nn.Dropout(0.15)
        self.output = nn.Linear(384, vocabulary)

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, state = self.lstm(self.embedding(inputs), state)
        return self.output(self.dropout(hidden)), state


def stock_nats(train: str, held_out: str, seconds: float) -> dict[str, Any]:
    """The stock recipe: 16 streams, T 64, AdamW 4e-3 with warm-up, then linearly to 0 in elapsed time."""
    symbols = sorted(set(train) | set(held_out))
    number = {symbol: index for index, symbol in enumerate(symbols)}
    ids = torch.from_numpy(np.array([number[symbol] for symbol in train]))
    torch.manual_seed(SEED)
    model = Stock(len(symbols))
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01, fused=True)
    length = (len(ids) - 1) // 16
    inputs, targets = ids[: 16 * length].view(16, length), ids[1 : 16 * length + 1].view(16, length)
    updates, position, state = 0, 0, None
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        if position + 64 > length:
            position, state = 0, None
        factor = min(1.0, (updates + 1) / 50) * (1.0 - elapsed / seconds)
        optimiser.param_groups[0]["lr"] = 4e-3 * factor
        window = slice(position, position + 64)
        logits, state = model(inputs[:, window], state)
        loss = functional.cross_entropy(logits.flatten(0, 1), targets[:, window].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        state = (state[0].detach(), state[1].detach())
        updates, position = updates + 1, position + 64
    seconds = time.perf_counter() - began
    model.eval()
    test = torch.from_numpy(np.array([number[symbol] for symbol in held_out]))
    total, state = 0.0, None
    with torch.no_grad():
        # The first character comes after the zero input vector, as recurra counts it.
        hidden, state = model.lstm(torch.zeros(1, 1, 64), state)
        total += functional.cross_entropy(model.output(hidden)[0], test[:1]).item()
        for start in range(0, len(test) - 1, 512):
            piece = test[start : start + 513]
            logits, state = model(piece[None, :-1], state)
            total += functional.cross_entropy(logits[0], piece[1:], reduction="sum").item()
    return {
        "nats": total / len(test),
        "updates": updates,
        "seconds": seconds,
        "characters_per_second": updates * 1024 / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="tinyshakespeare's input.txt, plain or .gz")
    parser.add_argument("--seconds", type=float, default=180.0, help="training time of each of the two")
    parser.add_argument(
        "--tune", action="store_true", help="leave the last tenth alone; hold out a slice before it"
    )
    arguments = parser.parse_args()
    text = read_text(arguments.data)
    if arguments.tune:
        text = text[: int(0.9 * len(text))]
    cut = int(0.9 * len(text))
    train, held_out = text[:cut], text[cut:]
    with tempfile.TemporaryDirectory() as folder:
        ours = recurra_nats(train, held_out, arguments.seconds, Path(folder))
    stock = stock_nats(train, held_out, arguments.seconds)
    result = {
        "validation_nats": round(ours.pop("nats"), 4),
        "stock_nats": round(stock.pop("nats"), 4),
        "recurra": ours,
        "stock": stock,
        "held_out": "a slice of the training part" if arguments.tune else "the last tenth",
        **describe(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
