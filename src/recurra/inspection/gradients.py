"""How far gradients reach back: the size of the derivative of an output by the states before it.

For each layer and direction, h_t is the layer's output at step t and s_k all its states after step k, side
by side. Measured is the Frobenius norm of the Jacobian ∂h_t/∂s_k [H, S·H], k ≤ t, the mean over the rows of
the batch, divided by its value at lag 0, which is that of [I 0 ... 0]: √H. So lag 0 is 1, whatever the width.
A norm that falls with the lag t - k is the vanishing gradient, one that grows the exploding gradient
(Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).

Vectors q_1 ... q_P at the output are taken back through time, step by step, and their lengths recorded:
‖J‖² = H/P Σ_p ‖q_pᵀ J‖² for P orthonormal vectors. With P = H this is exact; with fewer, drawn at random, an
unbiased estimate of ‖J‖² (Hutchinson 1990) whose standard error is known. Lengths are kept as logarithms and
the vectors rescaled at every step, so that none overflows. A gradient under 1e-12 is followed no further and
counts as 0 from the next lag on.

B batch, T time, H hidden, S number of states, E output steps, L lags, P probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recurra.errors import ConfigError, ShapeError
from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.jacobian_sweep import JacobianSweep
from recurra.inspection.trajectory import Trajectory, trajectories
from recurra.settings import check_number

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

FLOOR = 1e-12  # of the value at lag 0

_BUDGET = 4e11  # multiplications and additions in the matrix products: some ten seconds on two cores
_EVERY_STEP = 1000  # up to this length every output step is taken, if the work allows it
_MANY_STEPS, _FEW_STEPS = 256, 32
_FEWEST_PROBES = 16
_PILOT_STEPS, _PILOT_PROBES = 4, 8
_GROUP_ELEMENTS = 800_000  # of the vectors taken back at once, so that they stay in the cache


def measure(
    rnn: Recurrent,
    x: Tensor,
    output_steps: Sequence[int] | int | None = None,
    probes: int | None = None,
    max_lag: int | None = None,
    seed: int = 0,
) -> list[GradientFlow]:
    """Measure ‖∂h_t/∂s_k‖ of every direction of every layer along `x`, in evaluation mode.

    Args:
        rnn: the layers; they are left as they are.
        x: `[B, T, I]`, T at least 2, every row T long.
        output_steps: the steps t to start from, 0 to T - 1, or how many of them, spread evenly with the last
            among them; None takes all, 256 or 32 of them, as many as the work allows.
        probes: vectors per Jacobian, 1 to H (more than H count as H: exact); None is exact where the work
            allows it, otherwise at least 16.
        max_lag: how many steps to go back, at least 1; None goes back to step 0.
        seed: of the random probes.

    Returns:
        One measurement per layer and direction, the lowest layer first.

    Raises:
        ShapeError: `x` does not fit, is shorter than 2 steps, or a layer's states overflow.
        ConfigError: `output_steps`, `probes` or `max_lag` is out of range.
    """
    if x.ndim == 3 and x.shape[1] < 2:
        raise ShapeError(f"x: expected at least 2 steps to look back over, got {x.shape[1]}.")
    for name, value in (("probes", probes), ("max_lag", max_lag)):
        check_number(name, value, int | None, at_least=1)
    all_trajectories = trajectories(rnn, x)
    length = x.shape[1]
    lags = length if max_lag is None else min(max_lag + 1, length)
    generator = torch.Generator().manual_seed(seed)
    wanted = None if output_steps is None else _chosen_steps(length, output_steps)
    if wanted is None or probes is None:
        pilot = [
            _measure_one(each, _spread(length, _PILOT_STEPS), _PILOT_PROBES, lags, generator)
            for each in all_trajectories
        ]
        wanted, probes = _plan(all_trajectories, pilot, wanted, probes)
    return [_measure_one(each, wanted, probes, lags, generator) for each in all_trajectories]


def _plan(
    all_trajectories: Sequence[Trajectory],
    pilot: Sequence[GradientFlow],
    wanted: list[int] | None,
    probes: int | None,
) -> tuple[list[int], int]:
    """As many output steps, then as many probes per Jacobian, as the work allows (more than H mean H).

    Args:
        pilot: a rough measurement, which tells how far gradients reach before they are lost.
        wanted: the output steps, where they are given.
        probes: the number of probes, where it is given.
    """
    length, widest = all_trajectories[0].steps, max(each.hidden_size for each in all_trajectories)

    def work(steps: Sequence[int], count: int) -> float:
        total = 0.0
        for each, rough in zip(all_trajectories, pilot, strict=True):
            reach = int(np.isfinite(rough.log10_norms).sum(1).max())
            hops = sum(min(step, reach) for step in steps) * each.inputs.shape[0]
            weight = each.parameters.get("hidden_weight")
            total += (
                2.0
                * hops
                * min(count, each.hidden_size)
                * (each.hidden_size if weight is None else weight.numel())
            )
        return total

    if wanted is None:
        many = list(range(length)) if length <= _EVERY_STEP else _spread(length, _MANY_STEPS)
        wanted = many if work(many, probes or widest) <= _BUDGET else _spread(length, _FEW_STEPS)
    if probes is None:
        affordable = int(widest * _BUDGET / max(work(wanted, widest), 1.0))
        probes = min(max(affordable, _FEWEST_PROBES), widest)
    return wanted, probes


def _chosen_steps(length: int, output_steps: Sequence[int] | int) -> list[int]:
    steps = _spread(length, output_steps) if isinstance(output_steps, int) else sorted(set(output_steps))
    if not steps or steps[0] < 0 or steps[-1] >= length:
        raise ConfigError(
            f"output_steps: expected how many, at least 1, or steps from 0 to {length - 1}, got {output_steps!r}."
        )
    return steps


def _spread(length: int, count: int) -> list[int]:
    """`count` steps of 0 ... length - 1, evenly, the last one among them."""
    count = min(count, length)
    return [round((index + 1) * length / count) - 1 for index in range(count)]


def _measure_one(
    trajectory: Trajectory, steps: Sequence[int], probes: int, lags: int, generator: torch.Generator
) -> GradientFlow:
    size, rows = trajectory.hidden_size, trajectory.inputs.shape[0]
    probes = min(probes, size)
    backward = trajectory.direction == "backward"
    positions = sorted(trajectory.steps - 1 - step for step in steps) if backward else list(steps)
    logs = np.full((len(positions), lags), np.nan)
    errors = np.full((len(positions), lags), np.nan)
    width = max(1, _GROUP_ELEMENTS // (probes * rows * size * len(trajectory.program.states)))
    for first in range(0, len(positions), width):
        group = slice(first, first + width)
        starts = _starts(trajectory, positions[group], probes, generator)
        sweep = JacobianSweep(positions[group], lags, starts, math.log10(FLOOR))
        sweep.run(trajectory)
        logs[group], errors[group] = sweep.logs, sweep.errors
    order = slice(None, None, -1 if backward else 1)
    return GradientFlow(
        layer=trajectory.layer,
        direction=trajectory.direction,
        hidden_size=size,
        probes=probes,
        length=trajectory.steps,
        output_steps=np.array(steps),
        log10_norms=logs[order],
        relative_errors=errors[order],
        cell=trajectory.cell,
    )


def _starts(
    trajectory: Trajectory, positions: Sequence[int], probes: int, generator: torch.Generator
) -> Tensor:
    """P orthonormal vectors for each output step and row, `[E, P, B, H]`; the identity where P = H."""
    size, like = trajectory.hidden_size, trajectory.inputs
    shape = (len(positions), probes, like.shape[0], size)
    if probes == size:
        return torch.eye(size, dtype=like.dtype, device=like.device)[None, :, None].expand(shape)
    drawn = torch.randn(
        len(positions), like.shape[0], size, probes, generator=generator, dtype=torch.float64, device="cpu"
    )
    orthonormal, _ = torch.linalg.qr(drawn)  # [E, B, H, P]
    return orthonormal.permute(0, 3, 1, 2).to(like)
