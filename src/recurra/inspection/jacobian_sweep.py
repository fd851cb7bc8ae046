"""Vectors taken back through time by one-step derivatives, their lengths recorded on the way.

This is the engine of `gradients.py`, whose docstring says what it measures.

B batch, H hidden, E output steps, L lags, P probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recurra.inspection.derivative import Derivative
from recurra.inspection.trajectory import CHUNK, Chunk, Trajectory


class JacobianSweep:
    """Takes the vectors of some output steps back through a trajectory, all at once.

    Output steps stand in falling order in `vectors`, so that those under way are one slice: it grows at its
    end as the sweep passes further output steps, and loses at its front those that have gone back far enough.

    Args:
        positions: the output steps, in the order of reading, rising.
        lags: how many lags to record, lag 0 among them, at least 2.
        starts: the vectors at each output step, `[E, P, B, H]`, orthonormal over P.
        floor: log10 of the norm under which a gradient counts as lost: 0 from the next lag on.

    Attributes:
        logs: log10 of ‖J‖ / √H, the mean over rows, `[E, L]`; NaN where it was not reached.
        errors: its standard error over its value, `[E, L]`.
    """

    def __init__(self, positions: Sequence[int], lags: int, starts: Tensor, floor: float) -> None:
        self.positions = list(reversed(positions))
        self.lags = lags
        self.floor = floor
        self.starts = starts.flip(0)  # [E, P, B, H]
        self.vectors: list[Tensor] = []  # per state [E, P, B, H], rescaled to a mean length of 1
        self.scales = torch.zeros(
            len(positions), starts.shape[2], dtype=torch.float64, device="cpu"
        )  # ln of what was taken out
        self.logs = np.full((len(positions), lags), np.nan)
        self.errors = np.full((len(positions), lags), np.nan)
        self.first = self.last = 0

    def run(self, trajectory: Trajectory) -> None:
        """Go from the last of the output steps to the start of the sequence, or as far as the lags go."""
        self.vectors = [torch.zeros_like(self.starts) for _ in trajectory.program.states]
        for number in range(self.positions[0] // CHUNK, -1, -1):
            waiting = self.last < len(self.positions) and self.positions[self.last] >= number * CHUNK
            if waiting or self.first < self.last:
                self._through(trajectory.chunk(number))
        reached = np.array(self.positions[::-1])[:, None] >= np.arange(self.lags)  # [E, L]
        low = np.less(
            self.logs, self.floor, where=~np.isnan(self.logs), out=np.zeros_like(self.logs, dtype=bool)
        )
        lost = np.logical_or.accumulate(low, axis=1)
        lost[:, 1:], lost[:, :1] = lost[:, :-1].copy(), False
        self.logs[lost & reached] = -np.inf
        self.errors[lost & reached] = 0.0

    @property
    def _finished(self) -> bool:
        """Whether every output step has gone back as far as it should."""
        return self.first == len(self.positions)

    def _through(self, chunk: Chunk) -> None:
        """Back through a chunk: from the states after its last step to those before its first."""
        derivative = Derivative(chunk)
        for offset in range(len(chunk.states) - 2, -1, -1):
            position = chunk.first + offset  # chunk.states[offset + 1] is s_position
            while self.last < len(self.positions) and self.positions[self.last] == position:
                self.vectors[0][self.last] = self.starts[self.last]
                self.last += 1
                self._record(position, slice(self.last - 1, self.last))
            while self.first < self.last and self._arrived(position):
                self.first += 1
            if self._finished or position == 0:
                self.first = self.last if position == 0 else self.first
                return
            if self.first < self.last:
                self._step_back(derivative, offset)
                self._record(position - 1, slice(self.first, self.last))

    def _arrived(self, position: int) -> bool:
        """Whether the output step that is under way longest has gone far enough back, or lost its gradient."""
        lag = self.positions[self.first] - position
        return lag >= self.lags - 1 or self.logs[len(self.positions) - 1 - self.first, lag] < self.floor

    def _step_back(self, derivative: Derivative, offset: int) -> None:
        under_way = slice(self.first, self.last)
        flat = [vectors[under_way].flatten(0, 1) for vectors in self.vectors]  # [E*P, B, H]
        for vectors, taken_back in zip(self.vectors, derivative.back(offset, flat), strict=True):
            vectors[under_way] = taken_back.unflatten(0, (-1, vectors.shape[1]))

    def _record(self, position: int, under_way: slice) -> None:
        """Note the norms of the vectors as they now stand, at `position`, and rescale them."""
        lengths = [torch.linalg.vector_norm(vectors[under_way], dim=3).double() for vectors in self.vectors]
        squares = torch.stack(lengths).square().sum(0).cpu()  # [E, P, B]
        mean = squares.mean(1)  # [E, B]: ‖J‖² / H, relative to the scale
        relative = self._relative_error(squares, mean)
        scales = self.scales[under_way] + 0.5 * mean.log()  # ln(‖J‖ / √H)
        total = scales.logsumexp(1)  # [E]
        share = (scales - total[:, None]).exp().nan_to_num(0.0)
        log10 = (total - math.log(scales.shape[1])) / math.log(10)
        error = (share * relative).square().sum(1).sqrt()
        steps = np.array(self.positions[under_way])
        rows = len(self.positions) - 1 - np.arange(under_way.start, under_way.stop)
        self.logs[rows, steps - position] = log10.numpy()
        self.errors[rows, steps - position] = error.numpy()
        self.scales[under_way] = scales
        length = torch.where(mean > 0, mean.sqrt(), 1.0)[:, None, :, None]
        for vectors in self.vectors:
            vectors[under_way] /= length.to(vectors)

    def _relative_error(self, squares: Tensor, mean: Tensor) -> Tensor:
        """Standard error of ‖J‖ over ‖J‖, `[E, B]`, to first order.

        P orthonormal vectors out of H are a sample without replacement, hence the factor 1 - P/H; one vector
        alone shows no spread, and counts as if its square were exponentially distributed.
        """
        probes, size = squares.shape[1], self.starts.shape[3]
        if probes == size:
            return torch.zeros_like(mean)
        variance = squares.var(1) if probes > 1 else mean.square()
        error_of_square = (variance / probes * (1 - probes / size)).sqrt()
        return torch.where(mean > 0, error_of_square / (2 * mean), 0.0)
