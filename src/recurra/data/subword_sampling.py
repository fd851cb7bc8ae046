"""Subword regularisation: lines divided into subwords at random (Kudo 2018).

N lines, W distinct words, D divisions of all words together.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recurra.data.rows import Rows
from recurra.data.subwords import Subwords

CANDIDATES = 64  # Kudo's l, here for each word


class SubwordSampler:
    """Draws divisions of the same lines again and again.

    No subword spans a space, so the words of a line are divided independently of each other: each by one of
    its 64 most probable divisions, drawn in proportion to P(division) ** alpha. sentencepiece's own sampling
    is not used: its draws differ from process to process, and a resumed run has to see the same ones.

    Args:
        lines: N lines.
        vocabulary: their subwords.
        alpha: more than 0; 1 draws by the model's own probabilities, less draws more evenly.
        max_length: a line whose drawn row would be longer keeps the row it is given.
        stream: a number that keeps the draws of several samplers apart.
    """

    def __init__(
        self, lines: Sequence[str], vocabulary: Subwords, alpha: float, max_length: int, stream: int = 0
    ) -> None:
        self._max_length, self._stream = max_length, stream
        # Number 0 is the end of a line, as if it were a word of a single division.
        numbers: dict[str, int] = {}
        words: list[int] = []
        ends = [0]
        for line in lines:
            words += [numbers.setdefault(word, len(numbers) + 1) for word in _words(line)]
            words.append(0)
            ends.append(len(words))
        self._words = np.array(words, np.int64)
        self._line_offsets = np.array(ends, np.int64)  # [N + 1]
        self._divisions, self._bounds, self._cumulative = _candidates(list(numbers), vocabulary, alpha)

    def draw(self, seed: int, epoch: int, otherwise: Rows) -> Rows:
        """One row per line, EOS last, a function of (seed, epoch).

        Args:
            seed, epoch: what the draws depend on.
            otherwise: N rows, for the lines whose drawn row would be longer than `max_length`.
        """
        generator = np.random.default_rng((seed % 2**64, epoch, self._stream))
        drawn = self._words + generator.random(len(self._words))
        choice = np.searchsorted(self._cumulative, drawn, side="right")
        # Rounding may have carried a draw across the border to a neighbouring word.
        choice = np.clip(choice, self._bounds[self._words], self._bounds[self._words + 1] - 1)
        parts = self._divisions.select(choice)
        rows = Rows(parts.ids, parts.offsets[self._line_offsets])
        long = rows.lengths > self._max_length
        if not long.any():
            return rows
        lines = np.arange(len(rows))
        return Rows.join([rows, otherwise]).select(np.where(long, lines + len(rows), lines))


def _words(line: str) -> list[str]:
    # Two spaces in a row make a subword that belongs to neither word; such a line is divided as a whole.
    return [line] if "  " in line else line.split(" ")


def _candidates(
    words: Sequence[str], vocabulary: Subwords, alpha: float
) -> tuple[Rows, NDArray[np.int64], NDArray[np.float64]]:
    """The divisions of the end of a line and then of each word.

    Returns:
        divisions: D rows.
        bounds: `[W + 2]`: word w has the divisions bounds[w] to bounds[w + 1].
        cumulative: `[D]`: w plus the probability of this division of word w and those before it.
    """
    # Plain arrays, as a list for each of a million divisions would take hundreds of megabytes.
    ids, offsets, bounds = array("q", [0]), array("q", [0, 1]), array("q", [0, 1])
    for word in words:
        for division in vocabulary.candidates(word, CANDIDATES):
            ids.extend(division)
            offsets.append(len(ids))
        bounds.append(len(offsets) - 1)
    divisions = Rows(np.array(ids, np.int64), np.array(offsets, np.int64))
    firsts = np.array(bounds[:-1], np.int64)  # the most probable division of each word
    counts = np.diff(bounds)
    scores = np.add.reduceat(vocabulary.scores()[divisions.ids], divisions.offsets[:-1])
    weights = np.exp(alpha * (scores - np.repeat(scores[firsts], counts)))
    sums = np.cumsum(weights)
    before = np.repeat(sums[firsts] - weights[firsts], counts)
    probability = (sums - before) / np.repeat(np.add.reduceat(weights, firsts), counts)
    return divisions, np.array(bounds, np.int64), np.repeat(np.arange(len(counts)), counts) + probability
