"""Constructing modules whose weights will be overwritten: nothing is drawn, and all else is the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recurra.cells import CELLS, LayerNormLSTM
from recurra.cells.drawing import is_drawing, not_drawing
from recurra.layers.attention import Attention
from recurra.layers.names import ENERGIES
from recurra.layers.recurrent import Recurrent
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig
from recurra.models.transformer import Transformer
from recurra.models.translation_config import EncoderDecoderConfig


def layout(module: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype, bool]]:
    found = {name: (one.shape, one.dtype, one.requires_grad) for name, one in module.named_parameters()}
    assert list(found) == list(module.state_dict())
    return found


def recurrent() -> Recurrent:
    return Recurrent(LayerNormLSTM, 3, [5, 7], bidirectional=True, initial_state="learned")


@pytest.mark.parametrize(
    "make", [recurrent, *(lambda energy=energy: Attention(energy, 4, 4) for energy in ENERGIES)]
)
def test_constructing_draws_nothing(make):
    drawn, before = make(), torch.get_rng_state()
    with not_drawing():
        empty = make()
    assert torch.equal(torch.get_rng_state(), before)
    assert layout(empty) == layout(drawn)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_leaves_its_parameters_alone(name: str):
    before = torch.get_rng_state()
    with not_drawing():
        cell = CELLS[name](3, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert layout(cell) == layout(CELLS[name](3, 5))


def test_a_loaded_stack_computes_what_the_saved_one_does():
    saved = recurrent().eval()
    with not_drawing():
        loaded = recurrent().eval()
    loaded.load_state_dict(saved.state_dict())
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 0, 3, 1])
    outputs, state = saved(x, lengths=lengths)
    again, state_again = loaded(x, lengths=lengths)
    assert torch.equal(outputs, again)
    assert all(
        torch.equal(a, b) for (_, a), (_, b) in zip(state.tensors(), state_again.tensors(), strict=True)
    )


@pytest.mark.parametrize("energy", ["general", "normed_additive"])
def test_loaded_attention_computes_what_the_saved_one_does(energy: str):
    saved = Attention(energy, 3, 5)
    with not_drawing():
        loaded = Attention(energy, 3, 5)
    loaded.load_state_dict(saved.state_dict())
    values, lengths, query = torch.randn(2, 4, 5), torch.tensor([4, 2]), torch.randn(2, 3, 3)
    for expected, got in zip(
        saved(query, saved.memory(values, lengths)),
        loaded(query, loaded.memory(values, lengths)),
        strict=True,
    ):
        assert torch.equal(expected, got)


def test_drawing_is_on_again_afterwards_and_after_an_error():
    assert is_drawing()
    with not_drawing():
        with not_drawing():
            assert not is_drawing()
        assert not is_drawing()
    with pytest.raises(KeyError), not_drawing():
        raise KeyError
    assert is_drawing()
    before = torch.get_rng_state()
    recurrent()
    assert not torch.equal(torch.get_rng_state(), before)


def test_other_modules_and_models_draw_nothing_either():
    makers = (
        lambda: nn.Linear(3, 5),
        lambda: LanguageModel(LanguageModelConfig(hidden_size=5, embedding_size=3), 7),
        lambda: EncoderDecoder(EncoderDecoderConfig(hidden_size=6, embedding_size=4), 7, 8),
        lambda: Transformer(EncoderDecoderConfig(architecture="transformer", hidden_size=6), 7, 8),
    )
    for make in makers:
        drawn, before = make(), torch.get_rng_state()
        with not_drawing():
            empty = make()
        assert torch.equal(torch.get_rng_state(), before)
        assert layout(empty) == layout(drawn)
