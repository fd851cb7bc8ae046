"""Cells of classes that no import finds: pickles, copies, and that equal variants are one class."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cases
from recurra import Cell, CellError, LanguageModel, LanguageModelConfig, Recurrent
from recurra.cells import GRU, LSTM, LayerNormLSTM, resolve, with_initial_bias

FILE = """
from recurra import Cell

SCALE = {scale}


class Mine(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return SCALE * (affine("a", h) + h).tanh()


class Around:
    class Inner(Mine):
        pass
"""


def language_model(cell: type[Cell] | None = None, bias: dict[str, float] | None = None) -> LanguageModel:
    config = LanguageModelConfig(hidden_size=[5, 7], num_layers=2, embedding_size=3, initial_bias=bias)
    model = LanguageModel(config, vocabulary_size=11, cell=cell).double().eval()
    cases.randomise(model)
    return model


def outputs(model: LanguageModel) -> torch.Tensor:
    ids = torch.arange(24).reshape(4, 6) % 11
    hidden, _ = model.features(ids, lengths=torch.tensor([6, 0, 3, 5]))
    return model.log_probs(hidden)


def pickled(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    """What a pickle makes of a value."""
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - made here


@pytest.mark.parametrize("bias", [None, {"forget": 2.0}, {"update": -0.5, "output": 1}])
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_language_model_is_pickled(bias, protocol):
    model = language_model(bias=bias)
    again = pickled(model, protocol)
    assert torch.equal(outputs(again), outputs(model))
    assert type(again.rnn.cells[0][0]) is type(model.rnn.cells[0][0])
    assert again.rnn.cells[1][0].initial_bias == {"forget": 1.0} | (bias or {})


def test_torch_saves_it_too():
    model, file = language_model(bias={"forget": 2.0}), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(outputs(torch.load(file, weights_only=False)), outputs(model))


def test_copies():
    model = language_model(bias={"forget": 2.0})
    for again in (copy.deepcopy(model), copy.copy(model)):
        assert type(again.rnn.cells[0][0]) is type(model.rnn.cells[0][0])
        assert torch.equal(outputs(again), outputs(model))
    shared = copy.copy(model.rnn.cells[0][0])
    assert shared.bias is model.rnn.cells[0][0].bias
    assert copy.deepcopy(shared).bias is not shared.bias


def test_equal_variants_are_one_class():
    one = with_initial_bias(LSTM, {"forget": 2.0, "update": 0.5})
    assert one is with_initial_bias(LSTM, {"update": 0.5, "forget": 2})
    assert one is with_initial_bias(with_initial_bias(LSTM, {"forget": 2.0}), {"update": 0.5})
    assert one is not with_initial_bias(LSTM, {"forget": 2.0})
    assert one is not with_initial_bias(LSTM, {"forget": 2.0, "update": 0.25})
    assert with_initial_bias(LSTM, {}) is LSTM
    assert with_initial_bias(one, {}) is one
    assert with_initial_bias(GRU, {"update": 0.5}).initial_bias == {"update": 0.5}
    assert with_initial_bias(one, {"forget": 3.0}).initial_bias == {"forget": 3.0, "update": 0.5}


def test_a_variant_looks_like_its_cell():
    variant = with_initial_bias(LayerNormLSTM, {"memory": 2.0})
    assert repr(variant) == repr(LayerNormLSTM)
    assert variant.__doc__ == LayerNormLSTM.__doc__
    cell = variant(3, 5)
    assert isinstance(cell, LayerNormLSTM)
    assert repr(cell) == "LayerNormLSTM(3, 5)"
    assert (cell.norm_memory_shift == 2).all()
    assert (cell.norm_forget_shift == 1).all()
    assert cell.program == LayerNormLSTM(3, 5).program
    with pytest.raises(CellError, match=r"LSTM\.initial_bias names 'forgt', .* Did you mean 'forget'"):
        with_initial_bias(LSTM, {"forgt": 2.0})(3, 5)


class OfAVariant(with_initial_bias(LSTM, {"forget": 2.0})):
    """A class of its own, which pickle finds."""


def test_a_subclass_of_a_variant_stays_itself():
    cell = OfAVariant(3, 5)
    for again in (pickled(cell), copy.deepcopy(cell)):
        assert type(again) is OfAVariant
    more = with_initial_bias(OfAVariant, {"update": 0.5})
    assert more.initial_bias == {"forget": 2.0, "update": 0.5}
    assert type(pickled(more(3, 5))) is more


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.cell.py"
    path.write_text(FILE.format(scale=0.5), encoding="utf-8")
    return path


def step(cell: Cell) -> torch.Tensor:
    return cell(torch.ones(2, 3), torch.ones(2, 5))


@pytest.mark.parametrize("values", [{}, {"a": 1.5}])
def test_a_cell_from_a_file_is_pickled(file, values):
    cell_class = with_initial_bias(resolve(f"{file}:Mine"), values)
    model = language_model(cell_class)
    assert torch.equal(outputs(pickled(model)), outputs(model))
    cell = cell_class(3, 5)
    assert type(copy.deepcopy(cell)) is cell_class


ELSEWHERE = """
import pickle, sys
import torch
from recurra import CellError
from recurra.cells import resolve

models, own = pickle.load(open(sys.argv[1], "rb"))
for model, expected in models:
    found = model.log_probs(model.features(torch.arange(24).reshape(4, 6) % 11, lengths=torch.tensor([6, 0, 3, 5]))[0])
    print(type(model.rnn.cells[0][0]), (found - expected).abs().max().item() < 1e-12)
try: pickle.loads(own)
except CellError as error: print(error)
own_class = resolve(sys.argv[2])
for cell, expected in pickle.loads(own):
    print(isinstance(cell, own_class), torch.equal(cell(torch.ones(2, 3), torch.ones(2, 5)), expected))
"""


def test_in_another_process(file):
    """Of a cell from a file the class is loaded first: no pickle executes a file of ours."""
    models = [language_model(bias=bias) for bias in (None, {"forget": 2.0})]
    mine = resolve(f"{file}:Mine")
    cells = [cell_class(3, 5) for cell_class in (mine, with_initial_bias(mine, {"a": 1.5}))]
    own = pickle.dumps([(cell, step(cell)) for cell in cells])
    path = file.parent / "cells.pickle"
    path.write_bytes(pickle.dumps(([(model, outputs(model)) for model in models], own)))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(path), f"{file}:Mine"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "<class 'recurra.cells.lstm.LSTM'> True",
        "<class 'recurra.cells.lstm.LSTM'> True",
        f"the pickle holds a cell of {file}; load its class first, with recurra.cells.resolve('{file}:Mine').",
        "True True",
        "True True",
    ]


def test_files_of_one_name_do_not_collide(file, tmp_path):
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(FILE.format(scale=0.25), encoding="utf-8")
    one, two = (resolve(f"{path}:Mine")(3, 5) for path in (file, other))
    two.load_state_dict(one.state_dict())
    assert cases.difference(step(one), 2 * step(two)) < 1e-6
    for cell in (one, two):
        again = pickled(cell)
        assert type(again) is type(cell)
        assert torch.equal(step(again), step(cell))


def test_a_file_is_executed_again_only_when_it_has_changed(file):
    first = resolve(f"{file}:Mine")
    assert resolve(f"{file}:Mine") is first
    before = first(3, 5)
    file.write_text(FILE.format(scale=0.125), encoding="utf-8")
    second = resolve(f"{file}:Mine")
    assert second is not first
    after = second(3, 5)
    after.load_state_dict(before.state_dict())
    assert cases.difference(step(before), 4 * step(after)) < 1e-6
    assert type(copy.deepcopy(before)) is first  # although the file's class is another one now


def test_a_class_inside_another(file):
    inner: Any = sys.modules[resolve(f"{file}:Mine").__module__].Around.Inner
    cell = inner(3, 5)
    assert type(pickled(cell)) is inner


def test_layers_of_own_cells_are_copied():
    class Local(Cell):
        gates = ("a",)

        def step(self, affine, h):
            return affine("a", h).softplus()

    rnn = Recurrent(with_initial_bias(Local, {"a": 1.0}), 3, 5)
    x = torch.randn(2, 4, 3)
    assert torch.equal(copy.deepcopy(rnn)(x)[0], rnn(x)[0])
