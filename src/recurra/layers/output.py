"""Losses of the output layer that never hold all its logits at once.

N positions, H hidden, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_ELEMENTS = 1 << 23  # logits held at a time: 32 MiB in float32


def cross_entropy_reference(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """What `cross_entropy` computes, with all logits `[N, V]` in memory."""
    logits = functional.linear(hidden, weight, bias).float()
    return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


def cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """The sum over positions of −log softmax(W h + b)[target], in nats.

    With label smoothing ε (Szegedy 2016, section 7) a position costs 1 − ε times that, and ε times the mean of
    −log softmax(W h + b) over the vocabulary.

    The logits are computed in pieces of at most `CHUNK_ELEMENTS`, and so are their gradients, in the forward
    pass; the backward pass only scales them. It can be differentiated once.

    Args:
        hidden: `[N, H]`.
        weight: `[V, H]`.
        bias: `[V]` or None.
        targets: ids `[N]` (int64), from 0 to V − 1.
        label_smoothing: ε, in [0, 1).
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, bias, targets, label_smoothing)
    return loss


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """W h + b, `[N, V]`, in `out`."""
    if not hidden.dtype == weight.dtype == out.dtype:
        return out.copy_(functional.linear(hidden, weight, bias))
    if bias is None:
        return torch.mm(hidden, weight.T, out=out)
    return torch.addmm(bias, hidden, weight.T, out=out)


def _log(probs: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The logarithms of the targets' probabilities `[N, 1]`; from the logits where a probability is next to 0."""
    log_probs = probs.log()
    far = probs[:, 0] < torch.finfo(probs.dtype).tiny ** 0.5
    if far.any():
        logits = functional.linear(hidden[far], weight, bias).to(probs.dtype)
        log_probs[far] = torch.log_softmax(logits, dim=1).gather(1, targets[far])
    return log_probs


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> Tensor:
        wanted = ctx.needs_input_grad[:3]
        gradients = [
            torch.zeros_like(value) if needed and value is not None else None
            for value, needed in zip((hidden, weight, bias), wanted, strict=True)
        ]
        d_hidden, d_weight, d_bias = gradients
        rows = max(1, min(CHUNK_ELEMENTS // weight.shape[0], len(hidden)))
        dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        total = hidden.new_zeros((), dtype=dtype)
        memory = hidden.new_empty(rows, weight.shape[0], dtype=dtype)  # of every piece in turn
        mean_weight, mean_bias = weight.mean(0), 0.0 if bias is None else bias.mean()  # of smoothing
        for start in range(0, hidden.shape[0], rows):
            piece, expected = hidden[start : start + rows], targets[start : start + rows, None]
            logits = _logits(piece, weight, bias, memory[: len(piece)])
            of_target = logits.gather(1, expected)
            probs = torch.softmax(logits, dim=1, out=logits)
            log_probs = _log(probs.gather(1, expected), piece, weight, bias, expected)
            total -= (1.0 - smoothing) * log_probs.sum()
            if smoothing:
                # The mean of log P over V is that of the logits less their log-sum-exp: no pass over all of them.
                mean = (piece.to(weight.dtype) @ mean_weight).sum() + len(piece) * mean_bias
                total -= smoothing * (mean - (of_target - log_probs).sum())
            if not any(wanted):
                continue
            d_logits = probs.scatter_add_(1, expected, torch.full_like(log_probs, smoothing - 1.0)).to(
                piece.dtype
            )
            if d_hidden is not None:
                torch.mm(d_logits, weight.to(piece.dtype), out=d_hidden[start : start + rows])
            if d_weight is not None:
                d_weight.addmm_(d_logits.to(weight.dtype).T, piece.to(weight.dtype))
            if d_bias is not None:
                d_bias.add_(d_logits.sum(dim=0))
        if smoothing and d_hidden is not None:
            d_hidden -= smoothing * mean_weight
        if smoothing and d_weight is not None:
            d_weight -= smoothing / len(weight) * hidden.sum(0)
        if smoothing and d_bias is not None:
            d_bias -= smoothing / len(weight) * len(hidden)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("cross_entropy gives first derivatives only; use cross_entropy_reference.")
        scaled = (None if gradient is None else gradient * d_total for gradient in ctx.saved_tensors)
        return (*scaled, None, None)


def sampled_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, candidates: int
) -> Tensor:
    """An estimate of `cross_entropy` from a sample of the vocabulary, for training over large ones.

    `candidates` symbols are drawn, with replacement and from torch's generator, from the log-uniform
    distribution over ids, which is near the true one where ids are in order of falling frequency. All
    positions share them. In the softmax's denominator a drawn symbol stands for all those like it: its term
    is divided by the probability of being among the drawn, so the denominator is estimated without bias. The
    target's term is exact (Bengio & Senécal 2008; Jean et al. 2015, section 3).

    Args:
        hidden: `[N, H]`.
        weight: `[V, H]`.
        bias: `[V]`.
        targets: ids `[N]`.
        candidates: draws, at least 1; repeated ones count once.
    """
    size = weight.shape[0]
    draws = torch.rand(candidates, device=hidden.device, dtype=torch.float64)
    drawn = (draws * math.log(size + 1)).exp().sub(1.0).long().clamp(max=size - 1)
    columns, where = torch.cat([drawn, targets]).unique(return_inverse=True)  # [C]
    was_drawn = torch.zeros(len(columns), dtype=torch.bool, device=hidden.device)
    was_drawn[where[:candidates]] = True
    ids = columns.double()
    share = ((ids + 2.0).log() - (ids + 1.0).log()) / math.log(size + 1)
    included = -torch.expm1(candidates * torch.log1p(-share))  # probability of being among the drawn
    logits = functional.linear(hidden, weight[columns], bias[columns]).float()  # [N, C]
    correction = torch.where(was_drawn, -included.log().to(logits.dtype), -math.inf)  # [C]
    is_target = torch.arange(len(columns), device=hidden.device) == where[candidates:, None]  # [N, C]
    logits = logits + correction.masked_fill(is_target, 0.0)
    return functional.cross_entropy(logits, where[candidates:], reduction="sum")


def binary_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The sum over positions and keys of the binary cross-entropy, in nats.

    Args:
        hidden: `[N, H]`.
        weight: `[V, H]`.
        bias: `[V]` or None.
        targets: note sets `[N, V]`, 0 or 1.
    """
    logits = functional.linear(hidden, weight, bias)
    return functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="sum")
