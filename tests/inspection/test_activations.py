"""Activations along a text: the values that layers give, of which layer, direction and steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from coloured_text import Page
from recurra.cells import CELLS
from recurra.errors import ConfigError, ShapeError
from recurra.inspection.activations import Activations, activations_of
from recurra.inspection.gates_picture import show_gates
from recurra.inspection.trajectory import CHUNK
from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig


@pytest.fixture
def model() -> LanguageModel:
    config = LanguageModelConfig(cell="lstm", hidden_size=[5, 7], num_layers=2, embedding_size=4)
    return LanguageModel(config, 11).train()


def read(model: LanguageModel, ids: Tensor) -> Tensor:
    """What the layers read of a text: the zero vector, then its symbols."""
    return model.embed(torch.cat([torch.tensor([-1]), ids])[None]).detach()


def test_values_are_those_after_each_symbol_was_read(model: LanguageModel) -> None:
    ids = torch.tensor([3, 0, 10, 10, 5])
    symbols = [str(number) for number in ids.tolist()]
    x = read(model, ids)
    h = activations_of(model.rnn, x, ["", *symbols], what="h", skip=1)
    assert model.training
    model.eval()
    outputs, _, gates = model.rnn(x, return_gates=True)
    np.testing.assert_allclose(h.values, outputs[0, 1:].detach().numpy(), atol=1e-6)
    assert (h.title, h.low, h.high) == ("layer 2: h", -1.0, 1.0)
    forget = activations_of(model.rnn, x, ["", *symbols], what="forget", layer=1, skip=1)
    np.testing.assert_allclose(forget.values, gates[0][0]["forget"][0, 1:].detach().numpy(), atol=1e-6)
    assert (forget.title, forget.low) == ("layer 1: forget", 0.0)
    memory = activations_of(model.rnn, x, ["", *symbols], skip=1)
    assert memory.title == "layer 2: c"
    assert memory.values.shape == (5, 7)


@pytest.mark.parametrize(("cell", "shown"), [("gru", "h"), ("slstm", "c")])
def test_the_second_state_is_shown_or_the_only_one(cell: str, shown: str) -> None:
    model = LanguageModel(LanguageModelConfig(cell=cell, hidden_size=5), 11)
    assert activations_of(model.rnn, read(model, torch.tensor([3, 0])), ["", "a", "b"]).name == shown


def test_values_without_bound_are_shown_through_tanh(model: LanguageModel) -> None:
    ids, symbols = torch.tensor([3, 0, 7]), ["a", "b", "c"]
    with torch.no_grad():
        model.rnn.cells[1][0].bias.fill_(6.0)  # type: ignore[index, union-attr]
    memory = activations_of(model.rnn, read(model, ids), ["", *symbols], what="c", skip=1)
    assert memory.title == "layer 2: tanh(c)"
    assert 0.9 < memory.values.max() <= 1


def test_files_are_written(model: LanguageModel, tmp_path: Path) -> None:
    ids = torch.randint(0, 11, (30,))
    symbols = ["", *(chr(97 + number) for number in ids.tolist())]
    found = activations_of(model.rnn, read(model, ids), symbols, skip=1)
    files = show_gates(found, units=2).save(tmp_path / "plots" / f"{found.file_name}.png")
    assert [path.name for path in files] == ["gates_c_layer2.png", "gates_c_layer2.html"]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {path.name for path in files}
    assert len(Page(files[1].read_text(encoding="utf-8")).symbols) == 30


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("what", ["h", "c", "update"])
def test_the_backward_direction_is_shown_in_the_order_of_the_text(what: str, skip: int) -> None:
    """More steps than a chunk, of the first of two rows."""
    rnn = Recurrent(CELLS["lstm"], 3, 4, 2, bidirectional=True).eval()
    x = 0.3 * torch.randn(2, CHUNK + 5, 3)
    found = activations_of(rnn, x, ["s"] * x.shape[1], what, layer=1, skip=skip, direction="backward")
    below = Recurrent(CELLS["lstm"], 3, 4, bidirectional=True).eval()
    below.cells[0] = rnn.cells[0]
    outputs, state, gates = below(x, return_gates=True)
    if what == "c":
        last = state.layers[0][1]["c"][0].detach().numpy()  # after the first step, which is read last
        assert skip or found.values[0] == pytest.approx(last, abs=1e-5)
    else:
        expected = outputs[0, :, 4:] if what == "h" else gates[0][1]["update"][0]
        np.testing.assert_allclose(found.values, expected[skip:].detach().numpy(), atol=1e-5)
    assert found.file_name == f"gates_{what}_layer1_backward"
    assert found.title == f"layer 1 backward: {what}"
    assert (found.cell, found.signed) == ("LSTM, 4 units", what != "update")


def test_what_is_not_there_is_refused_in_one_line(model: LanguageModel) -> None:
    ids, symbols = torch.tensor([1, 2]), ["", "a", "b"]
    rnn, x = model.rnn, read(model, ids)
    for options in ({"what": "forgt"}, {"layer": 0}, {"layer": 3}, {"skip": -1}, {"direction": "backward"}):
        ((name, value),) = options.items()
        with pytest.raises(ConfigError, match=rf"{name}: expected .*, got '?{value}"):
            activations_of(rnn, x, symbols, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Did you mean 'forget'"):
        activations_of(rnn, x, symbols, what="forgt")
    with pytest.raises(ShapeError, match="at least one symbol"):
        activations_of(rnn, x[:, :1], [""], skip=1)
    with pytest.raises(ShapeError, match="one row per symbol"):
        activations_of(rnn, x, ["a"])
    one = Recurrent(CELLS["elman"], 3, 2)
    with pytest.raises(ConfigError, match=r"^layer: this model has one layer; use 1\.$"):
        activations_of(one, torch.randn(1, 2, 3), ["a", "b"], layer=2)


@pytest.mark.parametrize(
    ("values", "low"), [(np.full((2, 1), np.nan), -1.0), (np.zeros((2, 1)), 1.0), (np.zeros((2, 0)), -1.0)]
)
def test_other_values_are_refused(values: np.ndarray, low: float) -> None:
    with pytest.raises(ShapeError, match=r"^values: expected"):
        Activations(["a", "b"], values, low=low)
