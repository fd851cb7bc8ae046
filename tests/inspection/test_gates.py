"""Text coloured by units: layout, escaping, and the values a language model gives."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from recurra.errors import ConfigError, ShapeError
from recurra.inspection.figures import save_figure
from recurra.inspection.gates import Activations, activations_of, inspect_gates
from recurra.inspection.gates_html import gates_page
from recurra.inspection.gates_picture import colours, layout, plot_gates
from recurra.models.language_model import LanguageModel, LanguageModelConfig

HOSTILE = [
    "<script>",
    "&",
    '"',
    "'",
    "</script>",
    "{x}",
    "$a$",
    "\\alpha",
    "\x00",
    "漢",
    "",
    "\n",
    "\t",
    "it\n",
]


class Page(HTMLParser):
    """The coloured symbols of a page, and the names of all its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.symbols: list[str] = []
        self.styles: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "i":
            self.symbols.append("")
            self.styles.append(dict(attributes)["style"] or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "i" and self.symbols[-1] == "":
            self.symbols[-1] = data


def activations(symbols: list[str], units: int = 3, **options: object) -> Activations:
    values = np.random.default_rng(5).uniform(-1, 1, (len(symbols), units))
    return Activations(symbols, values, **options)  # type: ignore[arg-type]


def test_lines_wrap_between_symbols_and_end_where_the_text_does() -> None:
    cells = layout(list("abc\nde") + ["f"] * 4, columns=4)
    assert [(c.line, c.column, c.text) for c in cells] == [
        (0, 0, "a"), (0, 1, "b"), (0, 2, "c"), (0, 3, "↵"), (1, 0, "d"), (1, 1, "e"), (1, 2, "f"), (1, 3, "f"),
        (2, 0, "f"), (2, 1, "f"),
    ]  # fmt: skip
    words = layout(["one", "three", "\n", "a-word-too-long", "x"], columns=10)
    assert [(c.line, c.column, c.text) for c in words] == [
        (0, 0, "one"), (0, 4, "three"), (1, 0, "↵"), (2, 0, "a-word-too"), (3, 0, "x"),
    ]  # fmt: skip


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


def test_the_picture_shows_glyphs_on_the_colour_of_their_value(tmp_path: Path) -> None:
    from matplotlib.image import imread

    values = np.array([[-1.0], [1.0]] * 10)
    figure = plot_gates(Activations([" "] * 20, values, title="layer 1: h"), columns=20)
    picture = imread(save_figure(figure, tmp_path / "blank.png"))[..., :3]
    box = figure.axes[0].get_position()
    row = picture[int((1 - (box.y0 + box.y1) / 2) * picture.shape[0])]
    middles = ((box.x0 + (np.arange(20) + 0.5) / 20 * box.width) * picture.shape[1]).astype(int)
    np.testing.assert_allclose(row[middles], colours()[[0, 255] * 10], atol=0.01)
    hostile = plot_gates(activations(HOSTILE * 40), units=2)
    assert save_figure(hostile, tmp_path / "hostile.png").stat().st_size > 5_000
    written = plot_gates(Activations(["#"] * 20, values), columns=20)
    picture = imread(save_figure(written, tmp_path / "written.png"))[..., :3]
    assert np.ptp(picture[:, middles[0] - 3 : middles[0] + 3].mean(2), axis=1).max() > 0.2


@pytest.fixture
def model() -> LanguageModel:
    config = LanguageModelConfig(cell="lstm", hidden_size=[5, 7], num_layers=2, embedding_size=4)
    return LanguageModel(config, 11).train()


def test_values_are_those_after_each_symbol_was_read(model: LanguageModel) -> None:
    ids = torch.tensor([3, 0, 10, 10, 5])
    symbols = [str(number) for number in ids.tolist()]
    h = activations_of(model, ids, symbols, what="h")
    assert model.training
    model.eval()
    x = model.embed(torch.cat([torch.tensor([-1]), ids])[None])
    outputs, _, gates = model.rnn(x, return_gates=True)
    np.testing.assert_allclose(h.values, outputs[0, 1:].detach().numpy(), atol=1e-6)
    assert (h.title, h.low, h.high) == ("layer 2: h", -1.0, 1.0)
    forget = activations_of(model, ids, symbols, what="forget", layer=1)
    np.testing.assert_allclose(forget.values, gates[0][0]["forget"][0, 1:].detach().numpy(), atol=1e-6)
    assert (forget.title, forget.low) == ("layer 1: forget", 0.0)
    memory = activations_of(model, ids, symbols)
    assert memory.title == "layer 2: c"
    assert memory.values.shape == (5, 7)


@pytest.mark.parametrize(("cell", "shown"), [("gru", "h"), ("slstm", "c")])
def test_the_second_state_is_shown_or_the_only_one(cell: str, shown: str) -> None:
    model = LanguageModel(LanguageModelConfig(cell=cell, hidden_size=5), 11)
    assert activations_of(model, torch.tensor([3, 0]), ["a", "b"]).name == shown


def test_values_without_bound_are_shown_through_tanh(model: LanguageModel) -> None:
    ids, symbols = torch.tensor([3, 0, 7]), ["a", "b", "c"]
    with torch.no_grad():
        model.rnn.cells[1][0].bias.fill_(6.0)  # type: ignore[index, union-attr]
    memory = activations_of(model, ids, symbols, what="c")
    assert memory.title == "layer 2: tanh(c)"
    assert 0.9 < memory.values.max() <= 1


def test_files_are_written(model: LanguageModel, tmp_path: Path) -> None:
    ids = torch.randint(0, 11, (30,))
    files = inspect_gates(
        model, ids, [chr(97 + number) for number in ids.tolist()], tmp_path / "plots", units=2
    )
    assert [path.name for path in files] == ["gates_c_layer2.png", "gates_c_layer2.html"]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {path.name for path in files}
    assert len(Page(files[1].read_text(encoding="utf-8")).symbols) == 30


def test_what_is_not_there_is_refused_in_one_line(model: LanguageModel, tmp_path: Path) -> None:
    ids, symbols = torch.tensor([1, 2]), ["a", "b"]
    for options in ({"what": "forgt"}, {"layer": 0}, {"layer": 3}, {"units": 0}):
        ((name, value),) = options.items()
        with pytest.raises(ConfigError, match=rf"{name}: expected .*, got '?{value}"):
            inspect_gates(model, ids, symbols, tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Did you mean 'forget'"):
        activations_of(model, ids, symbols, what="forgt")
    with pytest.raises(ShapeError, match="at least one symbol"):
        activations_of(model, ids[:0], [])
    with pytest.raises(ShapeError, match="one row per symbol"):
        activations_of(model, ids, ["a"])
