"""The page of an attention: labels as text, weights as colours, nothing loaded from elsewhere."""

from __future__ import annotations

import re

import numpy as np

from attention_table import Table
from recurra.inspection.alignment import Alignment
from recurra.inspection.attention_html import attention_page

HOSTILE = ["<script>", "&", '"', "{x}", "$a_$", "\\alpha", "\x00", " ", "▁the", "<eos>"]


def test_the_page_has_labels_as_text_and_weights_as_colours() -> None:
    weights = np.random.default_rng(7).dirichlet(np.ones(len(HOSTILE)), len(HOSTILE) - 3)
    drawn = Alignment(HOSTILE, HOSTILE[3:], weights, frozenset({1, 8}), "<b>run</b> {y}")
    page = attention_page(drawn)
    table = Table(page)
    shown = ["<script>", "&", '"', "{x}", "$a_$", "\\alpha", "\ufffd", "␣", "▁the", "<eos>"]
    assert table.labels == {"col": shown, "row": shown[3:]}
    assert [number for number, is_unknown in enumerate(table.unknown) if is_unknown] == [1, 8]
    weights = [weight for weight, _ in table.cells]
    np.testing.assert_allclose(weights, drawn.weights.ravel(), atol=5e-4)
    reds = [int(style[12:14], 16) for _, style in table.cells]
    assert reds[int(np.argmax(weights))] < reds[int(np.argmin(weights))] == 255
    assert "script" not in table.tags
    assert "b" not in table.tags
    assert not re.search(r"https?://|src=|@import", page)


def test_unknown_symbols_are_explained_only_where_there_are_some() -> None:
    weights = np.full((1, 2), 0.5)
    assert "does not know" in attention_page(Alignment(["a", "b"], ["x"], weights, frozenset({0})))
    assert "does not know" not in attention_page(Alignment(["a", "b"], ["x"], weights))
