"""Coloured text as a page: every symbol as text, every unit's values as bytes."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from coloured_text import HOSTILE, Page, activations
from recurra.inspection.activations import Activations
from recurra.inspection.gate_colours import colours
from recurra.inspection.gates_html import gates_page


def test_symbols_reach_the_page_as_text_only() -> None:
    page = gates_page(activations(HOSTILE, title="<b>layer</b> & more"))
    parsed = Page(page)
    assert parsed.symbols == [
        "<script>", "&", '"', "'", "</script>", "{x}", "$a$", "\\alpha", "\ufffd", "漢", "∅", "↵", "→", "it↵",
    ]  # fmt: skip
    assert parsed.tags.count("script") == 1
    assert "b" not in parsed.tags
    assert not re.search(r"https?://|src=|@import", page)


def test_the_page_carries_every_unit_and_starts_with_the_most_varying() -> None:
    values = np.zeros((4, 3))
    values[:, 0] = [0.1, 0.2, 0.1, 0.2]
    values[:, 2] = [-1.0, 1.0, 0.0, 5.0]
    shown = Activations(list("abcd"), values)
    assert shown.by_interest().tolist() == [2, 0, 1]
    page = gates_page(shown)
    data = re.search(r'atob\("([^"]*)"\)', page)
    assert data is not None
    held = np.frombuffer(base64.b64decode(data[1]), np.uint8).reshape(4, 3)
    assert held[:, 2].tolist() == [0, 255, 128, 255]
    assert re.findall(r'<option value="(\d)">', page) == ["2", "0", "1"]
    blue, red = (tuple((colours()[shade] * 255).round().astype(int)) for shade in (0, 255))
    styles = Page(page).styles
    assert styles[0] == f"background:#{bytes(blue).hex()};color:white"
    assert styles[1] == f"background:#{bytes(red).hex()};color:white"
    assert blue[2] > blue[0]
    assert red[0] > red[2]


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_a_gate_from_0_to_1_has_no_diverging_colours(low: float) -> None:
    shown = Activations(list("abc"), np.array([[low], [0.5], [1.0]]), low=low)
    first = Page(gates_page(shown)).styles[0]
    darkest = bytes((colours(low < 0)[0] * 255).round().astype(int).tolist()).hex()
    assert first.startswith(f"background:#{darkest}")
    assert (darkest == "ffffff") == (low == 0)


def test_one_unknown_character_does_not_space_out_all_the_others() -> None:
    assert "</i> <i" not in gates_page(activations([*"abcd", "\\u202f", *"efg"]))
    assert "</i> <i" in gates_page(activations(["one", "word", "after", "another"]))
