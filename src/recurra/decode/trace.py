"""The candidates that a beam search considered, for drawing them as a tree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Fate = Literal["live", "finished", "pruned"]


@dataclass(frozen=True)
class Extension:
    """One symbol that a beam search considered after one of its live hypotheses.

    Attributes:
        source: the number of the source in the batch.
        length: how many symbols the hypothesis has with this one.
        parent: the index in `Trace.extensions` of the one it follows; None for a first symbol.
        symbol: its id.
        log_prob: of the whole hypothesis up to and with this symbol.
        score: the log-probability with the penalties for this length.
        fate: `live` went on, `finished` is the stop symbol, `pruned` was not among the best K, or could not
            enter the pool any more.
    """

    source: int
    length: int
    parent: int | None
    symbol: int
    log_prob: float
    score: float
    fate: Fate


class Trace:
    """Filled by `beam_search`: the ends and the K most probable extensions of every live hypothesis.

    Attributes:
        extensions: in the order of their length, source and parent; symbols of probability 0 are left out.
    """

    def __init__(self) -> None:
        self.extensions: list[Extension] = []
        self._rows: list[int] = []

    def record(
        self,
        sources: Tensor,
        length: int,
        candidates: tuple[Tensor, Tensor, Tensor],
        stop: int,
        ended: tuple[Tensor, Tensor],
        live: tuple[Tensor, Tensor],
    ) -> None:
        """Take in one step, R rows with C candidates each, of which L live on.

        Args:
            sources: `[R]`.
            length: of the hypotheses, with this step's symbols.
            candidates: ids, log-probabilities and scores, `[R, C]` each.
            stop: the id of the stop symbol.
            ended: log-probabilities and scores with the stop symbol, `[R]` each.
            live: parent rows and symbols, `[L]` each.
        """
        survivors = dict.fromkeys(zip(live[0].tolist(), live[1].tolist(), strict=True))
        numbers: dict[tuple[int, int], int] = {}
        ids, log_probs, scores = (tensor.tolist() for tensor in candidates)
        ended_log_probs, ended_scores = (tensor.tolist() for tensor in ended)
        for row, source in enumerate(sources.tolist()):
            considered = [
                *zip(ids[row], log_probs[row], scores[row], strict=True),
                (stop, ended_log_probs[row], ended_scores[row]),
            ]
            for symbol, log_prob, score in considered:
                if log_prob == -math.inf:
                    continue
                fate: Fate = "live" if (row, symbol) in survivors else "pruned"
                if symbol == stop:
                    fate = "finished"
                numbers[row, symbol] = len(self.extensions)
                parent = self._rows[row] if self._rows else None
                self.extensions.append(Extension(source, length, parent, symbol, log_prob, score, fate))
        self._rows = [numbers[survivor] for survivor in survivors]
