"""What a training step of the language model costs beyond the same step written by hand on nn.LSTM.

    python benchmarks/step_overhead.py [--data FILE] [--steps 200]

V 65, one layer of 256, embedding 64, batch 32, T 64, Adam at 2e-3, gradients clipped to norm 1. Both run in turn,
step by step, in one process; what is compared is the median. The losses of the last step, in nats per token, show that
both have trained. Without --data the text is random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.contracts import Batch, State
from recurra.data.batches import StreamBatches
from recurra.data.text import read_text
from recurra.inspection.machine import describe
from recurra.metrics.evaluation import Evaluation
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig
from recurra.training.config import TrainingConfig
from recurra.training.job import StartingLoss
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.update import Updater

VOCABULARY, EMBEDDING, HIDDEN, BATCH, STEPS = 65, 64, 256, 32, 64
OPTIMISER = OptimiserConfig(name="adam", learning_rate=2e-3)


class ByHand(nn.Module):
    """What one writes without a library."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, VOCABULARY)

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, state = self.lstm(self.embedding(inputs), state)
        return self.output(hidden), state


def hand_step(scale: float = 1.0) -> Callable[[Batch], float]:
    """A step on the mean loss, whose gradients are multiplied by `scale`; returns that loss."""
    model = ByHand()
    optimiser = torch.optim.Adam(model.parameters(), OPTIMISER.rate, OPTIMISER.betas, fused=True)
    carried: list[tuple[Tensor, Tensor] | None] = [None]

    def step(batch: Batch) -> float:
        state = carried[0] if batch.continues else None
        optimiser.zero_grad(set_to_none=True)
        logits, state = model(batch.inputs.clamp(min=0), state)
        loss = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        (scale * loss).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        carried[0] = (state[0].detach(), state[1].detach())
        return loss.item()

    return step


class Scaled(LanguageModel):
    """A language model whose losses are multiplied by `scale`."""

    def __init__(self, config: LanguageModelConfig, scale: float) -> None:
        super().__init__(config, VOCABULARY)
        self.scale = scale

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, State]:
        loss, tokens, state = super().forward(batch, state)
        return self.scale * loss, tokens, state


class Job:
    """What is trained; batches are given to the update."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def batches(self, epoch: int) -> list[Batch]:
        return []

    def evaluate(self) -> Evaluation:
        return Evaluation(0.0, {"tokens": 1})

    def starting_loss(self) -> StartingLoss:
        return StartingLoss(0.0, 1, 1)


def our_step(cell: str = "lstm", backend: str = "auto", scale: float = 1.0) -> Callable[[Batch], float]:
    """As `hand_step`, by the training loop's own update of a language model."""
    config = LanguageModelConfig(cell, HIDDEN, embedding_size=EMBEDDING, backend=backend)
    model = LanguageModel(config, VOCABULARY) if scale == 1.0 else Scaled(config, scale)
    updater = Updater(Job(model), TrainingConfig(device="cpu"), OPTIMISER)

    def step(batch: Batch) -> float:
        loss_sum, tokens, _, _ = updater.update([batch], OPTIMISER.rate, 1)
        return loss_sum / tokens / scale

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", help="a text file, plain or .gz; its first 65 characters by rank are the symbols"
    )
    parser.add_argument("--steps", type=int, default=200, help="timed steps of each")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    if arguments.data:
        text = np.array([ord(c) for c in read_text(arguments.data)])
        ids = np.unique(text, return_inverse=True)[1] % VOCABULARY
    else:
        ids = np.random.default_rng(1).integers(0, VOCABULARY, 1_000_000)
    batches = StreamBatches(ids.astype(np.int64), BATCH, STEPS)
    steps = {"by_hand": hand_step(), "recurra": our_step()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, float] = {}
    for number in range(arguments.steps + 20):
        batch = batches[number % (len(batches) - 1)]
        for name in sorted(steps, reverse=bool(number % 2)):
            begin = time.perf_counter()
            losses[name] = steps[name](batch)
            times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values[20:]) for name, values in times.items()}
    result = {
        "ratio": round(medians["recurra"] / medians["by_hand"], 4),
        **{f"{name}_ms": round(1e3 * value, 3) for name, value in medians.items()},
        **{f"{name}_loss": round(value, 4) for name, value in losses.items()},
        "steps": arguments.steps,
        **describe(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
