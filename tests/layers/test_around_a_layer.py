"""What people do around a layer: empty batches, default devices, inference mode, resets, layers without parameters."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch

import cases
from recurra import Cell, CellError, Recurrent, Regularisation, ShapeError
from recurra.cells import GRU, LSTM, GRUResetAfter
from recurra.engine.cpu import build

BACKENDS_OF_ALL = ("auto", "reference", "textbook", "vendor", *(("cpu",) if build.compiler() else ()))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)], ids=["no rows", "no steps", "neither"])
@pytest.mark.parametrize("backend", BACKENDS_OF_ALL)
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "num_layers": 2}, {"initial_state": "learned"}]
)
def test_nothing_to_run_gives_gradients_of_zero(options, backend, shape):
    """As nn.LSTM does with an empty batch; a missing gradient would stop the other ranks of a parallel run."""
    rnn = Recurrent(LSTM, 3, 5, backend=backend, **options)
    x = torch.randn(*shape, 3, requires_grad=True)
    outputs, state = rnn(x, lengths=torch.zeros(shape[0], dtype=torch.int64))
    assert outputs.shape == (*shape, 5 * rnn.directions)
    (outputs.sum() + sum(value.sum() for _, value in state.tensors())).backward()
    assert x.grad.shape == x.shape
    for name, parameter in rnn.named_parameters():
        assert parameter.grad is not None
        assert name.startswith("learned") or not parameter.grad.any()


def test_nothing_to_run_does_not_spread_what_is_no_number():
    rnn = Recurrent(LSTM, 3, 5)
    with torch.no_grad():
        rnn.cells[0][0].bias.fill_(float("nan"))
    start = rnn.zero_state(2).map(torch.randn_like)
    _, state = rnn(torch.zeros(2, 0, 3), start)
    assert all(torch.equal(now, dict(start.tensors())[name]) for name, now in state.tensors())


@pytest.mark.parametrize("backend", BACKENDS_OF_ALL)
def test_a_step_of_no_rows(backend):
    rnn = Recurrent(LSTM, 3, 5, backend=backend)
    for steps in (rnn.streaming(), rnn.unroll()):
        output, state = steps.step(torch.zeros(0, 3))
        assert output.shape == (0, 5)
        assert state.batch_size == 0


@pytest.mark.parametrize("device", ["meta"])
@pytest.mark.parametrize("backend", BACKENDS_OF_ALL)
def test_another_default_device_changes_nothing(backend, device):
    """Everything that the engine makes for itself lies where the layer does."""
    inside = {"recurrent_dropout": 0.2, "zoneout": 0.1, "weight_drop": 0.2}
    dropped = {} if backend in ("vendor", "textbook") else inside
    regularisation = Regularisation(input_dropout=0.2, output_dropout=0.2, **dropped)
    rnn = Recurrent(LSTM, 3, 5, num_layers=2, dropout=0.3, regularisation=regularisation, backend=backend)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([4, 0, 6, 2])
    found = []
    for elsewhere in (False, True):
        torch.manual_seed(3)
        with torch.device(device) if elsewhere else contextlib.nullcontext():
            outputs, state = rnn.train()(x, None, lengths)
            unrolled, _ = rnn.unroll().step(x[:, 0])
            (outputs.sum() + unrolled.sum()).backward()
            streamed, _ = rnn.eval().streaming().step(x[:, 0])
        found.append((outputs, unrolled, streamed, *(value for _, value in state.tensors())))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_what_is_kept_from_call_to_call_is_made_for_every_mode():
    """A first step under another default device, or in inference mode, does not spoil later ones."""
    rnn = cases.recurrent("gru", 3, 5)
    x = torch.randn(13, 3, dtype=torch.float64)  # a number of rows that no other test has
    with torch.device("meta"), torch.inference_mode():
        rnn.streaming().step(x)
        rnn(x[:, None])
    expected = rnn.streaming().step(x)[0]
    x.requires_grad_()
    outputs = rnn(x[:, None])[0]
    outputs.sum().backward()
    assert cases.difference(outputs[:, 0].detach(), expected) < 1e-12


def test_layers_on_the_meta_device():
    for cell in (LSTM, GRU, GRUResetAfter):
        rnn = Recurrent(cell, 3, 5, num_layers=2, bidirectional=True).to("meta")
        outputs, state = rnn(torch.zeros(2, 4, 3, device="meta"))
        assert outputs.shape == (2, 4, 10)
        assert {value.device.type for _, value in state.tensors()} == {"meta"}
    with torch.device("meta"):
        assert Recurrent(LSTM, 3, 5)(torch.zeros(2, 4, 3))[0].device.type == "meta"


def test_a_stateful_layer_trains_after_an_evaluation_in_inference_mode():
    rnn = Recurrent(LSTM, 3, 5, stateful=True)
    with torch.inference_mode():
        rnn(torch.randn(2, 4, 3))
        rnn.reset([1])
    rnn(torch.randn(2, 4, 3))[0].sum().backward()
    assert rnn.cells[0][0].bias.grad is not None


def test_the_carried_state_goes_where_the_layer_goes():
    rnn = Recurrent(LSTM, 3, 5, stateful=True)
    x = torch.randn(2, 4, 3)
    rnn(x)
    again = copy.deepcopy(rnn).double()
    expected = rnn(x)[0].double()
    assert cases.difference(again(x.double())[0], expected) < 1e-6
    assert again.float()(x)[0].dtype == torch.float32


def test_reset_rows_start_from_the_learned_state_and_give_it_gradients():
    rnn = Recurrent(LSTM, 3, 5, stateful=True, initial_state="learned")
    x = torch.randn(3, 4, 3)
    rnn(x)
    rnn.reset([0, 2])
    with torch.no_grad():
        for parameter in rnn.learned_states.values():
            parameter.add_(1.0)  # after the reset: what counts is the value at the call
    outputs, _ = rnn(x)
    rnn.zero_grad()
    outputs.sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in rnn.learned_states.values()
    )
    rnn.reset()
    fresh = rnn(x)[0]
    assert cases.difference(outputs[[0, 2]], fresh[[0, 2]]) < 1e-6
    assert cases.difference(outputs[1], fresh[1]) > 1e-3


@pytest.mark.parametrize(
    "rows", [[0, 2], torch.tensor([2, 0]), torch.tensor([True, False, True]), [True, False, True]], ids=repr
)
def test_rows_of_a_state_by_numbers_or_by_a_mask(rows):
    rnn = cases.recurrent("lstm", 3, 5)
    state = cases.random_state(rnn, 3)
    expected = [2, 0] if isinstance(rows, torch.Tensor) and rows.dtype != torch.bool else [0, 2]
    for name, value in state.select(rows).tensors():
        assert torch.equal(value, dict(state.tensors())[name][expected])
    stateful = Recurrent(LSTM, 3, 5, stateful=True).double()
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    first, _ = stateful(x)
    stateful.reset(rows)
    again, _ = stateful(x)
    assert torch.equal(again[[0, 2]], first[[0, 2]])
    assert not torch.equal(again[1], first[1])


@pytest.mark.parametrize("rows", [[3], [-1], [0.5], [[0]], torch.tensor([True]), torch.tensor(1)], ids=repr)
def test_rows_that_a_state_does_not_have(rows):
    state = cases.random_state(cases.recurrent("lstm", 3, 5), 3)
    with pytest.raises(ShapeError, match="rows: expected"):
        state.select(rows)
    stateful = Recurrent(LSTM, 3, 5, stateful=True)
    stateful(torch.zeros(3, 1, 3))
    with pytest.raises(ShapeError, match="rows: expected"):
        stateful.reset(rows)


def test_a_constructor_that_wants_more_than_two_sizes_is_refused():
    class Timed(Cell):
        gates = ("a",)

        def __init__(self, input_size, hidden_size, tau):
            self.tau = tau
            super().__init__(input_size, hidden_size)

        def step(self, affine, h):
            return self.tau * affine("a", h).tanh()

    with pytest.raises(
        CellError, match=r"Timed\(input_size, hidden_size\), but .* argument: 'tau'; give .* a default"
    ):
        Recurrent(Timed, 3, 5)

    class Slow(Timed):
        def __init__(self, input_size, hidden_size, tau=0.5):
            super().__init__(input_size, hidden_size, tau)

    assert Recurrent(Slow, 3, 5)(torch.zeros(1, 2, 3))[0].shape == (1, 2, 5)


class Fading(Cell):
    """Without any parameter."""

    def step(self, affine, h):
        return 0.9 * h + 0.1


@pytest.mark.parametrize("backend", ["auto", "reference", "textbook"])
def test_a_cell_without_parameters(backend):
    rnn = Recurrent(Fading, 3, 5, backend=backend)
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(2, 3, 3, dtype=dtype)
        outputs, state = rnn(x, lengths=torch.tensor([3, 1]))
        assert outputs.dtype == dtype
        assert cases.difference(outputs[0, :, 0], torch.tensor([0.1, 0.19, 0.271], dtype=dtype)) < 1e-6
        outputs, _ = rnn(x, state)
        assert outputs[1, 0, 0].item() == pytest.approx(0.19)
    for steps in (rnn.streaming(), rnn.unroll()):
        _, state = steps.step(torch.zeros(2, 3))
        assert steps.step(torch.zeros(2, 3), state)[0][0, 0].item() == pytest.approx(0.19)
