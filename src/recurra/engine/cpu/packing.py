"""Weights in the order in which a generated kernel reads them.

H hidden, K length of an operand.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from recurra.engine.cpu.emit import Machine, tile
from recurra.engine.plan import Plan, Term


def pack(plan: Plan, machine: Machine, hidden: int, block: Callable[[Term], Tensor], like: Tensor) -> Tensor:
    """All weights of a step: stage by stage, tile by tile of units, operand by operand, place by place.

    Args:
        plan: the stages.
        machine: how wide a vector is.
        hidden: H.
        block: the weights [H, K] of a term.
        like: gives the type of the result.
    """
    pieces = []
    for stage in plan.stages:
        if not stage.terms:
            continue
        _, across = tile(stage, machine)
        width = across * machine.lanes
        tiles = -(-hidden // width)
        groups = [[block(term) for term in stage.terms if term.operand == one] for one in stage.operands]
        sizes = [len(blocks) * blocks[0].shape[1] * width for blocks in groups]
        packed = like.new_empty(tiles, sum(sizes))
        for blocks, part in zip(groups, packed.split(sizes, 1), strict=True):
            places = part.unflatten(1, (-1, len(blocks), width))  # [tiles, K, terms, width]
            for number, weights in enumerate(blocks):
                whole = (
                    functional.pad(weights, (0, 0, 0, tiles * width - hidden)) if hidden % width else weights
                )
                places[:, :, number] = whole.unflatten(0, (tiles, width)).mT
        pieces.append(packed.flatten())
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0] if pieces else like.new_empty(0)


def pairs(weights: Tensor) -> Tensor:
    """Weights [H, K] in bfloat16, neighbouring places two and two in one int32, [H, (K + 1) // 2]."""
    even = functional.pad(weights, (0, weights.shape[1] % 2))
    return even.to(torch.bfloat16).contiguous().view(torch.int32)
