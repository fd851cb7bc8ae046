"""Dropout and zoneout: which values a mask touches, over what it is shared, and what evaluation does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cases
import oracle
from recurra import Cell, ConfigError, Recurrent, Regularisation
from recurra.cells import CELLS, GRU, LSTM, Elman, ReluElman
from recurra.cells.transform import RECURRENT_MASK, zoneout_mask

INPUT, HIDDEN, BATCH, TIME = 6, 8, 40, 5


class Copy(Cell):
    """h' = x with input weights of identity: what comes out is what went in, masks included."""

    gates = ("a",)
    has_bias = False

    def step(self, affine, h):
        return affine("a") + 0 * h


class OnlyInput(Cell):
    """No product with hidden weights."""

    gates = ("a",)

    def step(self, affine, h):
        return affine("a").tanh() + h


class OnlyHidden(Cell):
    """No product with the inputs."""

    gates = ("a",)

    def step(self, affine, h):
        return affine.hidden("a", h).tanh()


@torch.no_grad()
def identity(rnn: Recurrent) -> Recurrent:
    """Every weight matrix an identity per gate, no biases."""
    for name, parameter in rnn.named_parameters():
        gates = parameter.shape[0] // rnn.hidden_sizes[0]
        parameter.zero_()
        if name.endswith("weight"):
            parameter.copy_(torch.eye(parameter.shape[1]).repeat(gates, 1))
    return rnn.train()


def seeded(rnn: Recurrent, *arguments, seed: int = 11, **options):
    torch.manual_seed(seed)
    return rnn(*arguments, **options)


def assert_dropout_values(mask: Tensor, rate: float) -> None:
    """0 or 1 / (1 - rate), about as many zeros as asked for."""
    kept = mask != 0
    torch.testing.assert_close(mask[kept], torch.full_like(mask[kept], 1 / (1 - rate)))
    assert abs(kept.float().mean().item() - (1 - rate)) < 0.08


@pytest.mark.parametrize("option", ["input_dropout", "output_dropout"])
def test_input_and_output_masks_are_one_per_row_and_unit_for_all_steps(option):
    rnn = identity(Recurrent(Copy, HIDDEN, HIDDEN, regularisation=Regularisation(**{option: 0.4})))
    x = torch.ones(BATCH, TIME, HIDDEN)
    outputs, state = rnn(x)
    assert (outputs == outputs[:, :1]).all()
    assert_dropout_values(outputs[:, 0], 0.4)
    assert not torch.equal(outputs[0, 0], outputs[1, 0])
    assert not torch.equal(rnn(x)[0], outputs)  # drawn afresh for each call
    if option == "output_dropout":
        assert (state.layers[0][0]["h"] == 1).all()  # the carried state is left alone
    assert torch.equal(rnn.eval()(x)[0], x)


def test_every_layer_draws_an_input_mask_of_its_own():
    options = Regularisation(input_dropout=0.4)
    rnn = identity(Recurrent(Copy, HIDDEN, HIDDEN, num_layers=2, regularisation=options))
    outputs, state = rnn(torch.ones(BATCH, TIME, HIDDEN))
    below, above = (directions[0]["h"] for directions in state.layers)
    assert_dropout_values(below, 0.4)
    assert abs((above != 0).float().mean().item() - 0.36) < 0.08
    assert torch.equal(outputs[:, -1], above)


def test_dropout_between_layers_is_pytorchs_with_a_mask_for_each_step():
    rnn = identity(Recurrent(Copy, HIDDEN, HIDDEN, num_layers=2, dropout=0.4))
    outputs, _ = rnn(torch.ones(BATCH, TIME, HIDDEN))
    assert_dropout_values(outputs, 0.4)
    assert not (outputs == outputs[:, :1]).all()
    assert (rnn.eval()(torch.ones(BATCH, TIME, HIDDEN))[0] == 1).all()


def test_recurrent_mask_is_one_for_all_steps():
    """ReluElman with identity weights and no input: h_t = (mask * ...) h_0."""
    options = Regularisation(recurrent_dropout=0.4)
    rnn = identity(Recurrent(ReluElman, HIDDEN, HIDDEN, regularisation=options))
    start = rnn.zero_state(BATCH).map(torch.ones_like)
    outputs, _ = rnn(torch.zeros(BATCH, TIME, HIDDEN), start)
    assert_dropout_values(outputs[:, 0], 0.4)
    for t in range(TIME):
        torch.testing.assert_close(outputs[:, t], outputs[:, 0] ** (t + 1))


def test_recurrent_mask_is_one_for_all_gates_and_leaves_the_carried_state():
    options = Regularisation(recurrent_dropout=0.4)
    rnn = identity(Recurrent(LSTM, HIDDEN, HIDDEN, regularisation=options)).double()
    start = rnn.zero_state(BATCH).map(torch.ones_like)
    x = torch.zeros(BATCH, 1, HIDDEN, dtype=torch.float64)
    _, _, ((gates,),) = rnn(x, start, return_gates=True)
    operand = {name: torch.logit(value) for name, value in gates.items() if name != "candidate"}
    operand["candidate"] = torch.atanh(gates["candidate"])
    for value in operand.values():
        torch.testing.assert_close(value, operand["update"], rtol=0, atol=1e-9)
    assert_dropout_values(operand["update"][:, 0].round(decimals=9), 0.4)

    gru = Recurrent(GRU, HIDDEN, HIDDEN, regularisation=options).train()
    with torch.no_grad():
        gru.cells[0][0].rows("bias", "update").fill_(-1e4)
    start_of_gru = gru.zero_state(BATCH).map(torch.ones_like)
    kept, _ = gru(torch.randn(BATCH, TIME, HIDDEN), start_of_gru)
    assert (kept == 1).all()


def test_two_directions_draw_different_recurrent_masks():
    options = Regularisation(recurrent_dropout=0.4)
    rnn = identity(Recurrent(ReluElman, HIDDEN, HIDDEN, bidirectional=True, regularisation=options))
    outputs, _ = rnn(torch.zeros(BATCH, 1, HIDDEN), rnn.zero_state(BATCH).map(torch.ones_like))
    assert not torch.equal(*outputs.chunk(2, -1))


@pytest.mark.parametrize("zoneout", [0.3, {"h": 0.3}, {"c": 0.3}, {"h": 0.2, "c": 0.5}])
def test_zoneout_keeps_old_values_of_the_states_named(zoneout):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, regularisation=Regularisation(zoneout=zoneout)).train()
    rates = zoneout if isinstance(zoneout, dict) else {"h": zoneout, "c": zoneout}
    x, state = torch.randn(BATCH, 1, INPUT, dtype=torch.float64), cases.random_state(rnn, BATCH)
    for _ in range(3):
        _, new = rnn(x, state)
        h, c = rnn.cells[0][0](x[:, 0], tuple(state.layers[0][0].values()))
        for name, fresh in {"h": h, "c": c}.items():
            old, found = state.layers[0][0][name], new.layers[0][0][name]
            kept = found == old
            torch.testing.assert_close(found[~kept], fresh[~kept], rtol=0, atol=1e-12)
            assert abs(kept.double().mean().item() - rates.get(name, 0.0)) < 0.09
        state = new.detach()


def test_zoneout_draws_a_mask_for_each_step():
    rnn = cases.recurrent("elman", INPUT, HIDDEN, regularisation=Regularisation(zoneout=0.5)).train()
    outputs, _ = rnn(torch.randn(BATCH, TIME, INPUT, dtype=torch.float64))
    kept = outputs[:, 1:] == outputs[:, :-1]
    assert abs(kept.double().mean().item() - 0.5) < 0.05
    assert not (kept == kept[:, :1]).all()


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_zoneout_uses_the_expectation_in_evaluation(cell):
    rates = dict(zip(CELLS[cell].state, (0.3, 0.1, 0.2, 0.4), strict=False))
    rnn = cases.recurrent(cell, INPUT, HIDDEN, regularisation=Regularisation(zoneout=rates))
    x = torch.randn(3, TIME, INPUT, dtype=torch.float64)
    start = cases.random_state(rnn, 3)
    states, expected = tuple(start.layers[0][0].values()), []
    for t in range(TIME):
        new = rnn.cells[0][0](x[:, t], states)
        new = new if isinstance(new, tuple) else (new,)
        mixed = zip(rates.values(), states, new, strict=True)
        states = tuple(rate * old + (1 - rate) * fresh for rate, old, fresh in mixed)
        expected.append(states[0])
    outputs, final = rnn(x, start)
    assert cases.difference(outputs, torch.stack(expected, 1)) < 1e-12
    for ours, theirs in zip(final.layers[0][0].values(), states, strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_weight_drop_is_functional_and_one_mask_for_the_call():
    rnn = identity(Recurrent(ReluElman, HIDDEN, HIDDEN, regularisation=Regularisation(weight_drop=0.4)))
    before = {name: parameter.clone() for name, parameter in rnn.named_parameters()}
    start = rnn.zero_state(BATCH).map(torch.ones_like)
    outputs, _ = rnn(torch.zeros(BATCH, TIME, HIDDEN), start)
    assert (outputs == outputs[:1]).all()  # the same weights for all rows
    torch.testing.assert_close(outputs[:, 1], outputs[:, 0] ** 2)
    assert set(outputs[0, 0].tolist()) <= {0.0, outputs[0, 0].max().item()}
    outputs.sum().backward()
    assert all(torch.equal(parameter, before[name]) for name, parameter in rnn.named_parameters())
    assert (rnn.eval()(torch.zeros(BATCH, TIME, HIDDEN), start)[0] == 1).all()


OUTSIDE_A_STEP = {
    "input": {"regularisation": Regularisation(input_dropout=0.3)},
    "output": {"regularisation": Regularisation(output_dropout=0.3)},
    "weights": {"regularisation": Regularisation(weight_drop=0.3)},
    "layers": {"dropout": 0.3},
    "random state": {"initial_state": "random"},
}


@pytest.mark.parametrize("option", OUTSIDE_A_STEP)
@pytest.mark.parametrize("cell", cases.VENDOR_CELLS)
def test_all_backends_see_the_same_masks(cell, option):
    options = {"num_layers": 2, "bidirectional": True, **OUTSIDE_A_STEP[option]}
    ours = cases.recurrent(cell, INPUT, HIDDEN, backend="vendor", **options).train()
    theirs = cases.recurrent(cell, INPUT, HIDDEN, backend="reference", **options).train()
    theirs.load_state_dict(ours.state_dict())
    x, lengths = torch.randn(3, TIME, INPUT, dtype=torch.float64), torch.tensor([5, 0, 2])
    outputs, final = seeded(ours, x, None, lengths)
    expected, expected_final = seeded(theirs, x, None, lengths)
    assert cases.difference(outputs, expected) < 1e-12
    for (_, one), (_, other) in zip(final.tensors(), expected_final.tensors(), strict=True):
        assert cases.difference(one, other) < 1e-12
    assert not torch.equal(outputs, seeded(ours, x, None, lengths, seed=12)[0])


EVERYTHING = Regularisation(
    input_dropout=0.2, recurrent_dropout=0.3, output_dropout=0.1, zoneout=0.2, weight_drop=0.1
)


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_masks_last_one_call_chunks_included(cell):
    """The same outputs and gradients whole and in chunks, which also see the masks again when they recompute."""
    options = cases.fitting(EVERYTHING, cell)
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, regularisation=options).train()
    x, lengths = torch.randn(3, TIME, INPUT, dtype=torch.float64), torch.tensor([5, 0, 4])
    results = []
    for chunk in (None, 2):
        rnn.chunk = chunk
        outputs, _ = seeded(rnn, x, None, lengths)
        results.append((outputs, torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()))))
    assert cases.difference(results[0][0], results[1][0]) < 1e-12
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_gradients_go_through_the_masks():
    rnn = cases.recurrent("lstm", 2, 3, regularisation=EVERYTHING).train()
    x = cases.leaf(torch.randn(2, 3, 2, dtype=torch.float64))

    def function(x, *parameters):
        names = [name for name, _ in rnn.named_parameters()]
        torch.manual_seed(2)
        return torch.func.functional_call(rnn, dict(zip(names, parameters, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(function, (x, *rnn.parameters()))


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (OnlyInput, {"recurrent_dropout": 0.1}, "recurrent_dropout: OnlyInput"),
        (OnlyInput, {"weight_drop": 0.1}, "weight_drop: OnlyInput"),
        *((CELLS[name], {"recurrent_dropout": 0.1}, "no product") for name in oracle.WITHOUT_HIDDEN_WEIGHTS),
        (OnlyHidden, {"input_dropout": 0.1}, "input_dropout: OnlyHidden"),
        (Elman, {"zoneout": {"c": 0.1}}, "zoneout: Elman has no state 'c'"),
        (LSTM, {"zoneout": {"C": 0.1}}, "no state 'C'"),
    ],
)
def test_an_option_that_touches_nothing_raises(cell, options, message):
    with pytest.raises(ConfigError, match=message):
        Recurrent(cell, INPUT, HIDDEN, regularisation=Regularisation(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"input_dropout": -0.1},
        {"recurrent_dropout": 1.0},
        {"zoneout": 2.0},
        {"zoneout": {"h": -1.0}},
        {"weight_drop": "x"},
    ],
)
def test_probabilities_are_checked(options):
    with pytest.raises(ConfigError, match=rf"{next(iter(options))}.*expected a probability in \[0, 1\)"):
        Regularisation(**options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masks_have_the_shapes_types_and_rates_of_what_asks_for_them(dtype):
    rows, steps, hidden = 31, 17, 23
    options = Regularisation(recurrent_dropout=0.25, zoneout={"c": 0.4})
    program = options.program(LSTM(3, hidden).program, training=True)
    masks = options.masks(program, (rows, steps, hidden), torch.zeros(1, dtype=dtype))
    assert set(masks) == set(program.masks) == {RECURRENT_MASK, zoneout_mask("c")}
    recurrent, zoneout = masks[RECURRENT_MASK], masks[zoneout_mask("c")]
    assert (recurrent.shape, recurrent.dtype) == ((rows, hidden), dtype)
    assert set(recurrent.unique().tolist()) == {0.0, torch.tensor(1 / 0.75, dtype=dtype).item()}
    assert abs((recurrent == 0).double().mean().item() - 0.25) < 0.07
    assert (zoneout.shape, zoneout.dtype) == ((rows, steps, hidden), torch.bool)
    assert abs(zoneout.double().mean().item() - 0.4) < 0.03


def test_masks_that_a_program_does_not_ask_for_are_not_drawn():
    options = Regularisation(recurrent_dropout=0.25, zoneout=0.4)
    cell = LSTM(3, HIDDEN)
    for program in (cell.program, options.program(cell.program, training=False)):
        before = torch.get_rng_state()
        assert options.masks(program, (BATCH, TIME, HIDDEN), torch.zeros(1)) == {}
        assert torch.equal(torch.get_rng_state(), before)


def test_dropped_weights_are_new_and_the_others_the_same():
    cell = GRU(3, 23)
    parameters = cell.named_tensors()
    dropped = Regularisation(weight_drop=0.5).drop_weights(parameters)
    assert {name for name in dropped if dropped[name] is not parameters[name]} == {"hidden_weight"}
    kept = dropped["hidden_weight"] != 0
    assert 0.4 < kept.double().mean() < 0.6
    assert torch.equal(dropped["hidden_weight"][kept], (2 * parameters["hidden_weight"])[kept])
    dropped["hidden_weight"].sum().backward()
    assert torch.equal(cell.hidden_weight.grad, 2.0 * kept)
    assert Regularisation().drop_weights(parameters) is parameters
