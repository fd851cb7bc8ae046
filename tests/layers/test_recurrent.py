"""Recurrent: states, lengths, chunks, gates, residual connections, and equal results."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cases
import oracle
from recurra import Cell, ConfigError, Recurrent, Regularisation, State, StateError
from recurra.cells import CELLS, Elman

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 7
LENGTHS = (7, 0, 3, 5)
ON_BACKENDS = [(cell, "reference") for cell in cases.ALL_CELLS] + [
    (cell, "vendor") for cell in cases.VENDOR_CELLS
]


def inputs(batch: int = BATCH, time: int = TIME, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, time, INPUT, dtype=dtype)


def assert_same_state(first: State, second: State, tolerance: float = 1e-12) -> None:
    for (one, ours), (other, theirs) in zip(first.tensors(), second.tensors(), strict=True):
        assert one == other
        assert cases.difference(ours, theirs) <= tolerance


# --- equal results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
@torch.no_grad()
def test_batch_composition_padding_and_chunking_change_nothing(cell, backend, bidirectional, dtype):
    """Over 64 steps; the padding holds rubbish, infinities and what is not a number.

    Wider than the other tests: the layer norm of a handful of units magnifies any rounding.
    """
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    options = {"num_layers": 2, "bidirectional": bidirectional, "backend": backend, "dtype": dtype}
    rnn = cases.recurrent(cell, INPUT, 23, **options)
    lengths = torch.tensor([64, 0, 1, 33, 50])
    x, state = inputs(5, 64, dtype), cases.random_state(rnn, 5)
    outputs, final = rnn(x, state, lengths)

    padded = torch.cat([x, x.new_full((5, 6, INPUT), float("nan"))], 1)
    padded[1], padded[2, 1:], padded[3, 33:], padded[4, 50:] = float("nan"), float("inf"), 1e30, -7.0
    longer, same = rnn(padded, state, lengths)
    assert cases.difference(longer[:, :64], outputs) < tolerance
    assert not longer[:, 64:].any()
    assert_same_state(same, final, tolerance)

    order = torch.tensor([3, 1, 4, 4, 0, 2, 1])
    mixed, mixed_final = rnn(x[order], state.select(order), lengths[order])
    assert cases.difference(mixed, outputs[order]) < tolerance
    assert_same_state(mixed_final, final.select(order), tolerance)
    for row, length in enumerate(lengths.tolist()):
        only = torch.tensor([row])
        alone, alone_final = rnn(x[only, :length], state.select(only))
        assert cases.difference(alone, outputs[only, :length]) < tolerance
        assert_same_state(alone_final, final.select(only), tolerance)

    for chunk in (7, 64, 1000):
        rnn.chunk = chunk
        chunked, chunked_final = rnn(x, state, lengths)
        assert cases.difference(chunked, outputs) < tolerance
        assert_same_state(chunked_final, final, tolerance)


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_rubbish_in_the_padding_does_not_reach_the_gradients(cell, backend):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, bidirectional=True, backend=backend)
    clean, lengths = inputs(), torch.tensor(LENGTHS)
    dirty = clean.clone()
    for row, length in enumerate(LENGTHS):
        dirty[row, length:] = float("nan")
    gradients = []
    for x in (clean, dirty):
        x = cases.leaf(x)
        outputs, final = rnn(x, None, lengths)
        loss = outputs.sum() + sum(tensor.sum() for _, tensor in final.tensors())
        gradients.append(torch.autograd.grad(loss, [x, *rnn.parameters()]))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients, strict=True))
    assert not any(gradients[0][0][row, length:].any() for row, length in enumerate(LENGTHS))


@pytest.mark.parametrize("backend", ["vendor", "reference"])
def test_repeating_a_call_is_bit_exact(backend):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, dtype=torch.float32, backend=backend, num_layers=2)
    x, lengths = inputs(dtype=torch.float32), torch.tensor(LENGTHS)
    assert torch.equal(rnn(x, None, lengths)[0], rnn(x, None, lengths)[0])


# --- lengths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_zero_lengths_zero_steps_and_zero_rows(cell, backend):
    """The state passes through and takes its gradient along."""
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, bidirectional=True, backend=backend)
    for x, lengths in (
        (inputs(), torch.zeros(BATCH, dtype=torch.int64)),
        (inputs(time=0), None),
        (inputs(0), None),
    ):
        start = cases.random_state(rnn, x.shape[0]).map(cases.leaf)
        outputs, final = rnn(x, start, lengths)
        assert outputs.shape == (*x.shape[:2], 2 * HIDDEN)
        assert not outputs.any()
        assert_same_state(final, start, 0.0)
        weights = [torch.randn_like(tensor) for _, tensor in final.tensors()]
        loss = sum(
            (tensor * weight).sum() for (_, tensor), weight in zip(final.tensors(), weights, strict=True)
        )
        found = torch.autograd.grad(loss, [tensor for _, tensor in start.tensors()])
        assert all(torch.equal(gradient, weight) for gradient, weight in zip(found, weights, strict=True))


# --- residual -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_residual_adds_the_input_of_every_layer_but_the_first(bidirectional):
    rnn = cases.recurrent("gru", INPUT, HIDDEN, num_layers=3, bidirectional=bidirectional, residual=True)
    x, lengths = inputs(), torch.tensor(LENGTHS)
    below, _ = oracle.run("gru", [rnn.cells[0]], x, None, LENGTHS)
    for layer in (1, 2):
        above, _ = oracle.run("gru", [rnn.cells[layer]], below, None, LENGTHS)
        below = below + above
    assert cases.difference(rnn(x, None, lengths)[0], below) < 1e-12


# --- initial states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_learned_initial_state(cell):
    """Parameters per layer, direction and state; every row starts from them, and they take gradients."""
    rnn = cases.recurrent(cell, INPUT, [5, 4], bidirectional=True, initial_state="learned")
    assert len(rnn.learned_states) == 4 * len(CELLS[cell].state)
    first = rnn.first_state(BATCH)
    x, lengths = inputs(), torch.tensor(LENGTHS)
    outputs, final = rnn(x, None, lengths)
    expected, expected_final = rnn(x, first, lengths)
    assert torch.equal(outputs, expected)
    assert_same_state(final, expected_final)
    assert torch.equal(final.layers[0][0]["h"][1], first.layers[0][0]["h"][1])
    outputs.sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in rnn.learned_states.parameters()
    )
    fresh = Recurrent(CELLS[cell], INPUT, [5, 4], bidirectional=True, initial_state="learned")
    fresh.load_state_dict(rnn.float().state_dict())


def test_random_initial_state_is_random_in_training_only():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, initial_state="random")
    x = inputs()
    assert torch.equal(rnn(x)[0], rnn(x, rnn.zero_state(BATCH))[0])
    rnn.train()
    assert not torch.equal(rnn(x)[0], rnn(x)[0])
    torch.manual_seed(5)
    once = rnn(x)[0]
    torch.manual_seed(5)
    assert torch.equal(rnn(x)[0], once)


# --- stateful -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_stateful_carries_the_state_and_cuts_the_graph(cell, backend):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, stateful=True, backend=backend)
    whole = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2)
    whole.load_state_dict(rnn.state_dict())
    x = inputs()
    expected = whole(x)[0]
    first, _ = rnn(x[:, :3])
    second, _ = rnn(x[:, 3:])
    assert cases.difference(torch.cat([first, second], 1), expected) < 1e-12
    first.sum().backward()
    second.sum().backward()  # fails if the second call still hung on the graph of the first
    rnn.reset()
    assert torch.equal(rnn(x[:, :3])[0], first)


@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True, False])])
def test_reset_of_some_rows(rows):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, stateful=True)
    x = inputs()
    rnn(x)
    carried, _ = rnn(x)
    rnn.reset()
    fresh, _ = rnn(x)
    rnn.reset(rows)
    mixed, _ = rnn(x)
    assert torch.equal(mixed[[0, 2]], fresh[[0, 2]])
    assert torch.equal(mixed[[1, 3]], carried[[1, 3]])


def test_reset_of_rows_goes_back_to_the_learned_state():
    rnn = cases.recurrent("gru", INPUT, HIDDEN, stateful=True, initial_state="learned")
    x = inputs()
    fresh, _ = rnn(x)
    rnn.reset(torch.tensor([1]))
    assert torch.equal(rnn(x)[0][1], fresh[1])


def test_carried_state_of_another_batch_size_raises_and_is_kept():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, stateful=True)
    x = inputs()
    rnn(x)
    for rows in (1, BATCH + 1):
        with pytest.raises(StateError, match=rf"has 4 rows and the batch has {rows}.*reset\(\)"):
            rnn(inputs(rows))
    carried, _ = rnn(x)
    rnn.reset()
    rnn(x)
    assert torch.equal(rnn(x)[0], carried)


def test_an_explicit_state_goes_before_the_carried_one():
    rnn = cases.recurrent("gru", INPUT, HIDDEN, stateful=True)
    x = inputs()
    fresh, _ = rnn(x)
    assert torch.equal(rnn(x, rnn.zero_state(BATCH))[0], fresh)


# --- gates --------------------------------------------------------------------------------------------


def from_slstm_gates(
    gate: dict[str, Tensor], h: Tensor, c: Tensor, n: Tensor, m: Tensor
) -> tuple[Tensor, ...]:
    """`update` is given by its logarithm."""
    log_kept = torch.where(n > 0, gate["forget"].log() + m, gate["update"])
    m = log_kept.maximum(gate["update"])
    update, kept = (gate["update"] - m).exp(), (log_kept - m).exp()
    c, n = update * gate["candidate"] + kept * c, update + kept * n
    return gate["output"] * c / n.clamp(min=1), c, n, m


def from_gates(cell: str, gates: dict[str, Tensor], states: tuple[Tensor, ...], rnn_cell: Cell) -> Tensor:
    """The outputs that the gates' values lead to, by each cell's last equations."""
    outputs = []
    for t in range(gates["candidate"].shape[1]):
        gate = {name: value[:, t] for name, value in gates.items()}
        if cell in ("elman", "relu_elman", "ind_rnn"):
            states = (gate["candidate"],)
        elif cell == "gru_reset_after":
            states = ((1 - gate["update"]) * gate["candidate"] + gate["update"] * states[0],)
        elif cell.endswith("gru"):
            states = (gate["update"] * gate["candidate"] + (1 - gate["update"]) * states[0],)
        elif cell == "minimal_gated_unit":
            states = (gate["forget"] * gate["candidate"] + (1 - gate["forget"]) * states[0],)
        elif cell == "min_lstm":
            both = gate["update"] * gate["candidate"] + gate["forget"] * states[0]
            states = (both / (gate["update"] + gate["forget"]),)
        elif cell == "slstm":
            states = from_slstm_gates(gate, *states)
        else:
            forget = gate["forget"] if "forget" in gate else 1 - gate["update"]
            memory = gate["update"] * gate["candidate"] + forget * states[1]
            shown = memory
            if cell == "layer_norm_lstm":
                gain, shift = rnn_cell.norm_memory_gain, rnn_cell.norm_memory_shift
                shown = torch.nn.functional.layer_norm(memory, gain.shape, gain, shift, 1e-5)
            states = (gate["output"] * shown.tanh(), memory)
        outputs.append(states[0])
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_gates_are_what_the_outputs_come_from(cell, chunk):
    rnn = cases.recurrent(cell, INPUT, [4, HIDDEN], bidirectional=True, chunk=chunk)
    x, lengths, start = inputs(), torch.tensor(LENGTHS), cases.random_state(rnn, BATCH)
    plain, _ = rnn(x, start, lengths)
    outputs, _, gates = rnn(x, start, lengths, return_gates=True)
    assert torch.equal(outputs, plain) or cases.difference(outputs, plain) < 1e-12
    past = torch.arange(TIME) >= lengths[:, None]
    for layer, width in enumerate((4, HIDDEN)):
        for direction in (0, 1):
            own = gates[layer][direction]
            assert list(own) == list(oracle.GATES[cell])
            assert {value.shape for value in own.values()} == {(BATCH, TIME, width)}
            assert not any(value[past].any() for value in own.values())
    for direction in (0, 1):
        initial = tuple(start.layers[1][direction].values())
        for row, length in enumerate(LENGTHS):
            # in the order in which this direction reads the row
            own = {name: value[row : row + 1, :length] for name, value in gates[1][direction].items()}
            own = {name: value.flip(1) for name, value in own.items()} if direction else own
            if not length:
                continue
            states = tuple(state[row : row + 1] for state in initial)
            again = from_gates(cell, own, states, rnn.cells[1][direction])
            again = again.flip(1) if direction else again
            side = outputs[row : row + 1, :length, direction * HIDDEN : (direction + 1) * HIDDEN]
            assert cases.difference(again, side) < 1e-12


def test_gates_without_one_nonlinear_function_are_pre_activations():
    class Mine(Cell):
        gates = ("linear", "two")

        def step(self, affine, h):
            two = affine("two", h)
            return 0.1 * affine("linear", h) + two.tanh() * two.sigmoid()

    rnn = Recurrent(Mine, INPUT, HIDDEN).double()
    x = inputs(time=1)
    own, start = rnn.cells[0][0], cases.random_state(rnn, BATCH)
    _, _, ((gates,),) = rnn(x, start, return_gates=True)
    h = start.layers[0][0]["h"]
    for gate in ("linear", "two"):
        weights = (own.rows("input_weight", gate), own.rows("hidden_weight", gate))
        expected = x[:, 0] @ weights[0].T + own.rows("bias", gate) + h @ weights[1].T
        assert cases.difference(gates[gate][:, 0], expected) < 1e-12


# --- chunks -------------------------------------------------------------------------------------------


def peak_memory(rnn: Recurrent, x: Tensor) -> int:
    """The most bytes alive at once during one forward and backward pass, over what was there before."""
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        rnn(x)[0].sum().backward()
    changes = [
        event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    assert changes
    alive = peak = 0
    for change in changes:
        alive += change
        peak = max(peak, alive)
    return peak


@pytest.mark.parametrize(("cell", "backend"), [("lstm", "vendor"), ("peephole_lstm", "reference")])
def test_chunks_keep_the_memory_down(cell, backend):
    """O(k + T/k) states beyond input and output: four times as many steps, about twice as much."""
    hidden, batch = 16, 8
    extra = {}
    for time, chunk in ((100, 10), (400, 20), (400, None)):
        rnn = Recurrent(CELLS[cell], INPUT, hidden, chunk=chunk, backend=backend)
        x = torch.randn(batch, time, INPUT)
        # three times the output's size is there whatever the chunk: the output, its pieces, its gradient
        extra[time, chunk] = peak_memory(rnn, x) - 3 * batch * time * hidden * x.element_size()
    assert extra[400, 20] < extra[400, None] / 3
    assert extra[400, 20] < 2.7 * extra[100, 10]


@torch.no_grad()
def test_long_sequences():
    """More steps than cuDNN takes in one call (65,535)."""
    outputs, _ = Recurrent(Elman, 1, 2, chunk=20_000)(torch.zeros(1, 70_000, 1))
    assert outputs.shape == (1, 70_000, 2)


def test_chunked_evaluation_needs_no_graph():
    rnn = cases.recurrent("gru", INPUT, HIDDEN, chunk=2)
    with torch.no_grad():
        outputs, _ = rnn(inputs())
    assert not outputs.requires_grad


# --- the module ---------------------------------------------------------------------------------------


def test_weights_go_out_and_in():
    rnn = cases.recurrent("peephole_lstm", INPUT, [5, 4], bidirectional=True)
    other = Recurrent(CELLS["peephole_lstm"], INPUT, [5, 4], bidirectional=True).double()
    other.load_state_dict(rnn.state_dict())
    x = inputs()
    assert torch.equal(rnn(x)[0], other(x)[0])


def test_frozen_parameters_and_inputs_take_no_gradients():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    rnn.requires_grad_(False)
    x = cases.leaf(inputs())
    rnn(x)[0].sum().backward()
    assert x.grad is not None
    assert rnn.cells[0][0].input_weight.grad is None


def test_second_derivatives_on_the_reference():
    """What WGAN-GP and meta-learning need, and what cuDNN refuses."""
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, backend="reference")
    x = cases.leaf(inputs())
    (first,) = torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)
    first.square().sum().backward()
    assert x.grad.any()


# --- by name, and as it is shown ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_a_built_in_cell_is_taken_by_its_name(name):
    rnn = Recurrent(name, INPUT, HIDDEN)
    assert type(rnn.cells[0][0]) is CELLS[name]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LSTM", r"got 'LSTM'\. Did you mean 'lstm'\?"),
        ("GRUResetAfter", r"Did you mean 'gru_reset_after'\?"),
        ("lstmm", r"one of elman, .*slstm; got 'lstmm'\. Did you mean 'lstm'\?"),
        ("", "one of elman, .*; got ''"),
        ("mine.py:Mine", "got 'mine.py:Mine'; in Python import the class"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint):
    with pytest.raises(ConfigError, match=hint) as error:
        Recurrent(name, INPUT, HIDDEN)
    assert len(str(error.value)) < 500


def test_it_shows_what_differs_from_the_defaults():
    plain = repr(Recurrent("lstm", INPUT, HIDDEN))
    assert plain.splitlines()[1] == "  LSTM, 3, [5]"
    assert "LSTM(3, 5)" in plain
    shown = repr(
        Recurrent(
            "gru",
            INPUT,
            [5, 5],
            bidirectional=True,
            dropout=0.25,
            residual=True,
            chunk=4,
            backend="reference",
            regularisation=Regularisation(zoneout=0.125),
        )
    )
    assert shown.splitlines()[1] == (
        "  GRU, 3, [5, 5], bidirectional=True, dropout=0.25, chunk=4, backend='reference', residual=True, zoneout=0.125"
    )
