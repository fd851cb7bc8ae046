"""Energies of additive attention, v · tanh(p + k): compiled where that can be, otherwise by PyTorch.

Neither holds all that the tanh is taken of, S × K × Tx × A numbers; what goes back takes it again.
S sources, K queries per source, Tx source length, A width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.engine import cpu


def additive_energies(projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor) -> Tensor:
    """The energies `[S, K, Tx]`, -inf on padding; without gradients.

    Args:
        projected: p, `[S, K, A]`.
        keys: k, `[S, Tx, A]`.
        padding: `[S, Tx]`, true where there is none.
        score: v, `[A]`.
    """
    if _compiled(projected, keys, score):
        from recurra.engine.cpu import additive

        return additive.energies(projected, keys, padding, score)
    energies = [(one.unsqueeze(1) + keys).tanh() @ score for one in projected.unbind(1)]
    return torch.stack(energies, dim=1).masked_fill(padding.unsqueeze(1), -torch.inf)


def additive_d_projected(
    projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor, d_energies: Tensor
) -> Tensor:
    """The gradient by p `[S, K, A]`, from that by the energies, which is 0 on padding."""
    if _compiled(projected, keys, score):
        from recurra.engine.cpu import additive

        return additive.d_projected(projected, keys, padding, score, d_energies)
    gradients = [
        torch.einsum("st,sta->sa", d, 1 - (one.unsqueeze(1) + keys).tanh().square()) * score
        for one, d in zip(projected.unbind(1), d_energies.unbind(1), strict=True)
    ]
    return torch.stack(gradients, dim=1)


def additive_d_keys_and_score(
    projected: Tensor, keys: Tensor, padding: Tensor, score: Tensor, d_energies: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients by k `[S, Tx, A]` and v `[A]`, from that by the energies, which is 0 on padding."""
    if _compiled(projected, keys, score):
        from recurra.engine.cpu import additive

        return additive.d_keys_and_score(projected, keys, padding, score, d_energies)
    d_keys, d_score = torch.zeros_like(keys), torch.zeros_like(score)
    for one, d in zip(projected.unbind(1), d_energies.unbind(1), strict=True):
        unit = (one.unsqueeze(1) + keys).tanh()
        d_keys += d.unsqueeze(2) * (1 - unit.square())
        d_score += torch.einsum("st,sta->a", d, unit)
    return d_keys * score, d_score


def _compiled(projected: Tensor, keys: Tensor, score: Tensor) -> bool:
    same = projected.dtype == keys.dtype == score.dtype and keys.dtype in (torch.float32, torch.float64)
    if not same or keys.device.type != cpu.DEVICE or torch.compiler.is_compiling():
        return False
    from recurra.engine.cpu import additive

    return additive.obstacle(keys.dtype == torch.float64) is None
