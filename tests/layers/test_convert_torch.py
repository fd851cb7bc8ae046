"""To and from PyTorch's modules: what they compute, their options, and what is refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import cases
from recurra import Cell, CellError, Recurrent, Regularisation, ShapeError, StateError, convert
from recurra.cells import CELLS, LSTM
from recurra.contracts import State

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6

MODULES: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}


def torch_module(kind: str, **options: Any) -> nn.RNNBase:
    module_class, extra = MODULES[kind]
    module = module_class(INPUT, HIDDEN, **extra, **options)
    cases.randomise(module)
    return module.eval()


def assert_same_as_module(rnn: Recurrent, module: nn.RNNBase) -> None:
    """Outputs and final states from a state that is not zero, to 1e-6 of the largest."""
    directions = 2 if module.bidirectional else 1
    h = torch.randn(module.num_layers * directions, BATCH, HIDDEN)
    state = (h, torch.randn_like(h)) if isinstance(module, nn.LSTM) else h
    x = torch.randn(BATCH, TIME, INPUT)
    expected, final = module(x if module.batch_first else x.transpose(0, 1), state)
    outputs, own_final = rnn(x, convert.state_from_torch(state, module.bidirectional))
    expected = expected if module.batch_first else expected.transpose(0, 1)
    assert cases.difference(outputs, expected) < 1e-6
    own_final = convert.state_to_torch(own_final)
    finals = zip(own_final, final, strict=True) if isinstance(state, tuple) else [(own_final, final)]
    for ours, theirs in finals:
        assert cases.difference(ours, theirs) < 1e-6


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("kind", MODULES)
def test_there_and_back(kind, num_layers, bidirectional, bias, batch_first):
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    module = torch_module(kind, batch_first=batch_first, **options)
    rnn = convert.from_torch(module)
    assert_same_as_module(rnn, module)
    back = convert.to_torch(rnn, batch_first=batch_first)
    assert type(back) is type(module)
    assert back.state_dict().keys() == module.state_dict().keys()
    assert_same_as_module(rnn, back)


@pytest.mark.parametrize("cell", ["elman", "relu_elman", "gru_reset_after", "lstm"])
def test_recurrent_to_torch(cell):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, dtype=torch.float32, num_layers=2, bidirectional=True)
    assert_same_as_module(rnn, convert.to_torch(rnn))


def test_dropout_mode_and_dtype_are_kept():
    module = nn.GRU(INPUT, HIDDEN, num_layers=2, dropout=0.3).double()
    rnn = convert.from_torch(module)
    assert (rnn.dropout, rnn.training) == (0.3, True)
    assert {parameter.dtype for parameter in rnn.parameters()} == {torch.float64}
    back = convert.to_torch(rnn.eval())
    assert (back.dropout, back.training, back.weight_ih_l0.dtype) == (0.3, False, torch.float64)


def test_conversion_copies():
    module = torch_module("lstm")
    rnn = convert.from_torch(module)
    before = rnn.cells[0][0].input_weight.clone()
    cases.randomise(module)
    assert torch.equal(rnn.cells[0][0].input_weight, before)


# --- frozen parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize("grad", [True, False])
def test_frozen_parameters_are_kept(grad):
    """PyTorch's two biases are our one sum, which trains if either does."""
    module = torch_module("lstm", num_layers=3)
    for name in ("weight_hh_l0", "bias_ih_l0", "bias_ih_l1", "bias_hh_l1", "weight_ih_l2", "bias_hh_l2"):
        getattr(module, name).requires_grad_(False)
    with torch.set_grad_enabled(grad):
        rnn = convert.from_torch(module)
        back = convert.to_torch(rnn)
    frozen = {name for name, parameter in rnn.named_parameters() if not parameter.requires_grad}
    assert frozen == {"cells.0.0.hidden_weight", "cells.1.0.bias", "cells.2.0.input_weight"}
    frozen = {name for name, parameter in back.named_parameters() if not parameter.requires_grad}
    assert frozen == {"weight_hh_l0", "bias_ih_l1", "bias_hh_l1", "weight_ih_l2"}
    assert all(parameter.is_leaf for parameter in (*rnn.parameters(), *back.parameters()))


def test_frozen_biases_of_a_gru_are_kept_apart():
    module = torch_module("gru", num_layers=2)
    for name in ("bias_ih_l0", "bias_hh_l1"):
        getattr(module, name).requires_grad_(False)
    rnn = convert.from_torch(module)
    frozen = {name for name, parameter in rnn.named_parameters() if not parameter.requires_grad}
    assert frozen == {"cells.0.0.bias", "cells.1.0.hidden_bias"}
    back = convert.to_torch(rnn)
    assert {name for name, p in back.named_parameters() if not p.requires_grad} == {
        "bias_ih_l0",
        "bias_hh_l1",
    }


# --- effective weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "name", "reparametrise"),
    [
        ("lstm", "weight_hh_l0", parametrizations.weight_norm),
        ("lstm", "weight_ih_l1_reverse", parametrizations.spectral_norm),
        ("gru", "weight_hh_l1", parametrizations.orthogonal),
        ("rnn_tanh", "bias_hh_l0_reverse", parametrizations.weight_norm),
        ("gru", "weight_hh_l0", nn.utils.spectral_norm),
    ],
)
def test_reparametrised_weights(kind, name, reparametrise, training):
    module = reparametrise(torch_module(kind, num_layers=2, bidirectional=True), name)
    kept = copy.deepcopy(module.state_dict())
    rnn = convert.from_torch(module.train(training))
    assert module.training is training
    for key, value in module.state_dict().items():
        torch.testing.assert_close(value, kept[key], rtol=0, atol=0)
    assert_same_as_module(rnn.eval(), module.eval())
    assert all(parameter.requires_grad for parameter in rnn.parameters())


def test_a_frozen_reparametrised_weight_is_frozen():
    module = parametrizations.weight_norm(torch_module("lstm"), "weight_hh_l0")
    for parameter in module.parametrizations.weight_hh_l0.parameters():
        parameter.requires_grad_(False)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            rnn = convert.from_torch(module)
        assert not rnn.cells[0][0].hidden_weight.requires_grad
        assert rnn.cells[0][0].input_weight.requires_grad
    module.parametrizations.weight_hh_l0.original1.requires_grad_()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert convert.from_torch(module).cells[0][0].hidden_weight.requires_grad


def test_pruned_weights():
    """Those of the next call, which the module writes only then."""
    module = torch_module("lstm", num_layers=2)
    prune.l1_unstructured(module, "weight_hh_l1", amount=0.4)
    prune.random_unstructured(module, "weight_hh_l1", amount=0.3)
    with torch.no_grad():
        module.weight_hh_l1_orig.mul_(-1.5)  # as an optimiser's step does
    rnn = convert.from_torch(module)
    assert 0.5 < (rnn.cells[1][0].hidden_weight == 0).double().mean() < 0.7
    assert_same_as_module(rnn, module)


def test_one_tensor_with_several_names():
    module = torch_module("gru", num_layers=3)
    module.weight_hh_l1 = module.weight_hh_l2 = module.weight_hh_l0
    module.bias_hh_l0 = module.bias_ih_l0
    assert len(list(module.parameters())) == 9
    assert_same_as_module(convert.from_torch(module), module)


# --- our weights at their effective values ------------------------------------------------------------


@pytest.mark.parametrize(
    "reparametrise",
    [
        lambda cell: parametrizations.weight_norm(cell, "hidden_weight"),
        lambda cell: parametrizations.orthogonal(cell, "hidden_weight"),
        lambda cell: parametrizations.spectral_norm(cell.train(), "input_weight"),
        lambda cell: prune.l1_unstructured(cell, "hidden_weight", amount=0.4),
        lambda cell: parametrizations.weight_norm(cell, "bias", dim=None),
    ],
)
def test_our_reparametrised_weights_to_torch(reparametrise):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, dtype=torch.float32, num_layers=2)
    reparametrise(rnn.cells[1][0])
    rnn.eval()
    module = convert.to_torch(rnn)
    assert_same_as_module(rnn, module)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_our_tensors_with_several_names_to_torch():
    rnn = cases.recurrent("gru_reset_after", INPUT, HIDDEN, dtype=torch.float32, num_layers=2)
    rnn.cells[1][0].hidden_weight = rnn.cells[0][0].hidden_weight
    rnn.cells[0][0].hidden_bias = rnn.cells[0][0].bias
    assert_same_as_module(rnn, convert.to_torch(rnn))


# --- a user's own cells -------------------------------------------------------------------------------


def test_own_cell_with_the_same_equations_converts():
    class Mine(Cell):
        gates = ("take", "keep", "fresh", "show")
        state = ("out", "memory")

        def step(self, affine, out, memory):
            memory = (
                affine("keep", out).sigmoid() * memory
                + affine("fresh", out).tanh() * affine("take", out).sigmoid()
            )
            return memory.tanh() * affine("show", out).sigmoid(), memory

    rnn = Recurrent(Mine, INPUT, HIDDEN)
    cases.randomise(rnn)
    module = convert.to_torch(rnn)
    assert isinstance(module, nn.LSTM)
    x = torch.randn(BATCH, TIME, INPUT)
    torch.testing.assert_close(rnn(x)[0], module(x)[0], rtol=0, atol=1e-6)
    with pytest.raises(
        StateError, match=r"PyTorch's states are h, or h and c, but layer 0 \(forward\) has memory"
    ):
        convert.state_to_torch(rnn(x)[1])


def test_own_cell_with_a_hidden_bias_for_one_gate_converts():
    class Mine(Cell):
        gates = ("reset", "update", "candidate")

        def step(self, affine, h):
            reset, update = affine("reset", h).sigmoid(), affine("update", h).sigmoid()
            candidate = (affine.input("candidate") + reset * affine.hidden("candidate", h)).tanh()
            return (1 - update) * candidate + update * h

    rnn = Recurrent(Mine, INPUT, HIDDEN)
    cases.randomise(rnn)
    rnn.cells[0][0].hidden_bias.requires_grad_(False)
    x = torch.randn(BATCH, TIME, INPUT)
    expected = rnn(x)[0]
    module = convert.to_torch(rnn)
    torch.testing.assert_close(module(x)[0], expected, rtol=0, atol=1e-6)
    assert (module.bias_ih_l0.requires_grad, module.bias_hh_l0.requires_grad) == (True, False)
    kept = convert.from_keras(convert.to_keras(rnn), "GRU")
    torch.testing.assert_close(kept(x)[0], expected, rtol=0, atol=1e-6)


# --- what is refused ----------------------------------------------------------------------------------


class OwnForward(nn.LSTM):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class OnlyAName(nn.GRU):
    pass


def test_modules_that_are_refused():
    with pytest.raises(CellError, match="proj_size=2"):
        convert.from_torch(nn.LSTM(INPUT, HIDDEN, proj_size=2))
    for other in (nn.Linear(2, 3), nn.LSTMCell(2, 3)):
        with pytest.raises(CellError, match=rf"nn\.RNN, nn\.GRU or nn\.LSTM, got {type(other).__name__}"):
            convert.from_torch(other)
    with pytest.raises(CellError, match=r"OwnForward is an nn\.LSTM with a forward of its own"):
        convert.from_torch(OwnForward(INPUT, HIDDEN))
    patched = torch_module("gru")
    patched.forward = lambda x: x
    with pytest.raises(CellError, match=r"GRU is an nn\.GRU with a forward of its own"):
        convert.from_torch(patched)
    module = OnlyAName(INPUT, HIDDEN).eval()
    assert_same_as_module(convert.from_torch(module), module)


@pytest.mark.parametrize(
    ("register", "kind"),
    [
        ("register_forward_pre_hook", "forward pre-hook"),
        ("register_forward_hook", "forward hook"),
        ("register_full_backward_pre_hook", "backward pre-hook"),
        ("register_full_backward_hook", "backward hook"),
    ],
)
def test_hooks_are_refused(register, kind):
    module = prune.l1_unstructured(torch_module("lstm"), "weight_hh_l0", amount=0.4)
    rnn = convert.from_torch(module)
    for one, function in [(module, convert.from_torch), (rnn, convert.to_torch)]:
        handle = getattr(one, register)(lambda *_: None)
        with pytest.raises(CellError, match=f"has a {kind}, which does not convert; remove it first"):
            function(one)
        handle.remove()
        function(one)


@pytest.mark.parametrize("name", ["weight_ih_l1", "weight_hh_l0", "bias_ih_l0", "bias_hh_l1"])
def test_a_missing_tensor_is_refused(name):
    module = torch_module("lstm", num_layers=2)
    module.register_parameter(name, None)
    with pytest.raises(CellError, match=f"expected a tensor as its {name}, got None"):
        convert.from_torch(module)


def test_tensors_that_are_not_alike_are_refused():
    module = torch_module("gru", num_layers=2)
    module.bias_hh_l1 = nn.Parameter(module.bias_hh_l1.detach().double())
    with pytest.raises(
        ShapeError, match=r"layer 1: expected all weights and biases in torch\.float32 on cpu"
    ):
        convert.from_torch(module)
    module = torch_module("gru", num_layers=2)
    module.weight_hh_l1 = nn.Parameter(torch.randn(HIDDEN, HIDDEN))
    with pytest.raises(ShapeError, match=r"layer 1: expected recurrent weights of shape \[15, 5\]"):
        convert.from_torch(module)


def test_layers_that_torch_lacks():
    with pytest.raises(CellError, match="but not GRU"):
        convert.to_torch(Recurrent(CELLS["gru"], INPUT, HIDDEN))
    with pytest.raises(ShapeError, match="one hidden_size"):
        convert.to_torch(Recurrent(LSTM, INPUT, [4, 5], num_layers=2))
    for options in ({"initial_state": "learned"}, {"regularisation": Regularisation(zoneout=0.1)}):
        with pytest.raises(CellError, match=next(iter(options))):
            convert.to_torch(Recurrent(LSTM, INPUT, HIDDEN, **options))
    with pytest.raises(CellError, match="residual"):
        convert.to_torch(Recurrent(LSTM, HIDDEN, HIDDEN, num_layers=2, residual=True))


# --- states -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_loaded_state_goes_by_name(tmp_path, bidirectional):
    """A file holds the names alphabetically, c before h."""
    directions = 2 if bidirectional else 1
    h, c = torch.randn(2, 2 * directions, BATCH, HIDDEN)
    state = convert.state_from_torch((h, c), bidirectional)
    assert torch.equal(state.layers[1][-1]["c"], c[-1])
    state.save(tmp_path / "state")
    for one in (state, State.load(tmp_path / "state")):
        own_h, own_c = convert.state_to_torch(one)
        assert torch.equal(own_h, h)
        assert torch.equal(own_c, c)


def test_states_that_are_refused():
    with pytest.raises(StateError, match=r"layers \* 2"):
        convert.state_from_torch(torch.zeros(3, BATCH, HIDDEN), bidirectional=True)
    with pytest.raises(StateError, match=r"layers \* 1"):
        convert.state_from_torch((torch.zeros(2, BATCH, HIDDEN), torch.zeros(1, BATCH, HIDDEN)))
    for number in (0, 1, 3):
        with pytest.raises(StateError, match=f"or the tuple \\(h, c\\), got {number} in a tuple"):
            convert.state_from_torch((torch.zeros(2, BATCH, HIDDEN),) * number)
    with pytest.raises(StateError, match="equally wide"):
        convert.state_to_torch(Recurrent(LSTM, INPUT, [4, 5], num_layers=2).zero_state(2))
    one = torch.zeros(BATCH, HIDDEN)
    for names in (["c"], ["h", "m"], ["h", "c", "m"], []):
        states = dict.fromkeys(names, one)
        with pytest.raises(
            StateError, match=r"layer 1 \(backward\) has " + (", ".join(sorted(names)) or "none")
        ):
            convert.state_to_torch(State((({"h": one}, {"h": one}), ({"h": one}, states))))
    for layers in ((({"h": one},), ({"h": one, "c": one},)), (({"h": one},), ({"h": one}, {"h": one})), ()):
        with pytest.raises(StateError, match="the same states and directions in every layer"):
            convert.state_to_torch(State(layers))


def test_parametrised_modules_are_modules_of_their_kind():
    """`torch.nn.utils.parametrize` makes a subclass of its own for each module."""
    module = parametrizations.weight_norm(torch_module("lstm"), "weight_ih_l0")
    assert type(module) is not nn.LSTM
    assert parametrize.is_parametrized(module)
    assert_same_as_module(convert.from_torch(module), module)
