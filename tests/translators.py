"""Small encoder–decoders with random weights, ragged pairs to go with them, and decoding one symbol at a time.

B batch, S sources, Tx source length, Ty target length, V vocabulary.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

import cases
from recurra.contracts import Batch, Step, Stepper
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.models.transformer import Transformer
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.models.translation_model import TranslationModel

Model = TypeVar("Model", bound=TranslationModel)

SOURCES, TARGETS = 9, 7  # sizes of the vocabularies
SOURCE_LENGTHS, TARGET_LENGTHS = [5, 1, 4, 6], [4, 7, 1, 5]

WIRINGS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none"},
    "bahdanau": {"attention": "bahdanau"},
    "luong": {"attention": "luong"},
    "feeding": {"attention": "luong", "input_feeding": True, "energy": "general"},
    "gnmt": {"attention": "gnmt", "energy": "general"},
}
WHOLE = ("none", "luong", "gnmt")  # those that need no step loop


def model(joint: bool = False, **options: Any) -> EncoderDecoder:
    """In float64 and evaluation mode, on the reference backend."""
    settings = {"hidden_size": 6, "num_layers": 2, "embedding_size": 5, "backend": "reference"}
    return randomised(EncoderDecoder(EncoderDecoderConfig(**(settings | options)), *sizes(joint), joint))


def transformer(joint: bool = False, **options: Any) -> Transformer:
    """In float64 and evaluation mode."""
    settings = {"hidden_size": 6, "num_layers": 2, "heads": 2, "feedforward_size": 9}
    config = EncoderDecoderConfig(architecture="transformer", **(settings | options))
    return randomised(Transformer(config, *sizes(joint), joint))


BOTH = (model, transformer)


def sizes(joint: bool) -> tuple[int, int]:
    return (TARGETS, TARGETS) if joint else (SOURCES, TARGETS)


def randomised(built: Model) -> Model:
    built = built.double()
    cases.randomise(built, scale=0.8)
    return built.eval()


def ragged(rows: int = 4, sources: int = SOURCES) -> Batch:
    """Pairs of unequal lengths, 1 among them on both sides."""
    source_lengths, target_lengths = SOURCE_LENGTHS[:rows], TARGET_LENGTHS[:rows]
    source = torch.randint(1, sources, (rows, max(source_lengths)))
    target = torch.randint(1, TARGETS, (rows, max(target_lengths)))
    for ids, lengths in ((source, source_lengths), (target, target_lengths)):
        for row, length in zip(ids, lengths, strict=True):
            row[length - 1] = 0
    lengths = torch.tensor(source_lengths), torch.tensor(target_lengths)
    return Batch(source, target, sum(target_lengths), *lengths)


def spoil_padding(batch: Batch) -> None:
    """Put other ids past the ends of sources and targets."""
    for ids, lengths in ((batch.inputs, batch.lengths), (batch.targets, batch.target_lengths)):
        padding = torch.arange(ids.shape[1]) >= lengths[:, None]
        ids[padding] = torch.randint(1, TARGETS, (int(padding.sum()),))


def alone(batch: Batch, row: int) -> Batch:
    """One pair of a batch, without padding."""
    source = batch.inputs[row : row + 1, : batch.lengths[row]]
    target = batch.targets[row : row + 1, : batch.target_lengths[row]]
    lengths = (torch.tensor([ids.shape[1]]) for ids in (source, target))
    return Batch(source, target, target.shape[1], *lengths)


def follow(stepper: Stepper, symbols: Tensor) -> list[Step]:
    """The predictions before each of `symbols` `[S, T]`, and after the last of them."""
    steps = [stepper.start()]
    for column in symbols.T:
        steps.append(stepper.step(column, steps[-1].state))
    return steps


def cost(stepper: Stepper, batch: Batch) -> Tensor:
    """The sum of −log P over the targets' true symbols, step by step."""
    said = torch.stack([step.log_probs for step in follow(stepper, batch.targets[:, :-1])], dim=1)
    symbols = said.gather(2, batch.targets[:, :, None])[:, :, 0]  # [B, Ty]
    present = torch.arange(symbols.shape[1]) < batch.target_lengths[:, None]
    return -symbols[present].sum()


def gradients(network: TranslationModel, batch: Batch) -> dict[str, Tensor]:
    """Of the loss, by parameter."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(network(batch)[0], list(named.values()))
    return dict(zip(named, found, strict=True))
