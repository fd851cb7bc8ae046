"""The operators as PyTorch sees them: opcheck, torch.compile, DDP, second derivatives, another process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import cases
from recurra import BackendError, Recurrent, ShapeError
from recurra.cells import LSTM, Elman, Program
from recurra.engine.cpu import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")

BATCH, TIME, INPUT, HIDDEN = 3, 4, 2, 5


def layers(cell="peephole_lstm", **options):
    return cases.recurrent(cell, INPUT, HIDDEN, backend="cpu", **options)


def inputs(batch=BATCH, time=TIME):
    return torch.randn(batch, time, INPUT, dtype=torch.float64, requires_grad=True)


def arguments(cell, lengths, masked):
    """What the forward operator is given for one layer."""
    from recurra.cells.transform import with_recurrent_dropout
    from recurra.engine.plan import vectors

    program = cell.program
    program = with_recurrent_dropout(program) if masked else program
    steps = BATCH * TIME if lengths is None else int(lengths.sum())
    projected = torch.randn(steps, len(program.input_gates) * HIDDEN, dtype=torch.float64, requires_grad=True)
    per_unit = [torch.randn(HIDDEN, dtype=torch.float64, requires_grad=True) for _ in vectors(program)]
    states = [torch.randn(BATCH, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in program.states]
    masks = [torch.randint(0, 2, (BATCH, HIDDEN)).double() for _ in program.masks]
    weight = cell.hidden_weight.detach().clone().requires_grad_()
    return program.key, projected, weight, lengths, states, per_unit, masks, True, False


@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 0, 4])])
def test_opcheck(lengths):
    import recurra.engine.cpu.operator  # noqa: F401

    cell = layers().cells[0][0]
    torch.library.opcheck(torch.ops.recurra.forward.default, arguments(cell, lengths, masked=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("dynamic", [False, True])
def test_torch_compile_sees_one_operator(dynamic):
    rnn = layers()
    compiled = torch.compile(rnn, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for batch, time in ((3, 4), (2, 6)):
        x = inputs(batch, time)
        found, expected = (
            torch.autograd.grad(run(x)[0].square().sum(), [x, *rnn.parameters()]) for run in (compiled, rnn)
        )
        assert all(cases.difference(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))


def test_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        rnn = layers()
        x = inputs()
        expected = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
        torch.nn.parallel.DistributedDataParallel(rnn)(x)[0].sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    for parameter, gradient in zip(rnn.parameters(), expected, strict=True):
        assert cases.difference(parameter.grad, gradient) < 1e-12


def test_a_program_is_rebuilt_from_its_key():
    for name in cases.ALL_CELLS:
        program = layers(name).cells[0][0].program
        assert Program.from_key(program.key) == program


def test_another_process_runs_what_was_traced_here(tmp_path):
    given = arguments(layers().cells[0][0], None, masked=False)
    detached = [torch.utils._pytree.tree_map(plain, one) for one in given]
    torch.save(
        {"given": detached, "expected": [plain(one) for one in torch.ops.recurra.forward(*given)]},
        tmp_path / "call.pt",
    )
    code = (
        "import sys, torch, recurra.engine.cpu.operator\n"
        "call = torch.load(sys.argv[1])\n"
        "found = torch.ops.recurra.forward(*call['given'])\n"
        "assert all(torch.equal(a, b) for a, b in zip(found, call['expected'], strict=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "call.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def plain(one):
    return one.detach() if isinstance(one, torch.Tensor) else one


@pytest.mark.parametrize(("batch", "time"), [(0, 4), (3, 0), (0, 0)])
def test_nothing_to_run(batch, time):
    """The states pass through, and so do their gradients."""
    from recurra.engine.cpu.operator import run

    cell = layers().cells[0][0]
    _, _, weight, _, _, per_unit, *_ = arguments(cell, None, masked=False)
    projected = torch.randn(batch * time, 4 * HIDDEN, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(batch, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    outputs, final = run(cell.program, projected, weight, None, states, per_unit, [])
    assert outputs.shape == (0, HIDDEN)
    gradients = torch.autograd.grad(
        final[0].sum() + 2 * final[1].sum(), [*states, projected, weight, *per_unit]
    )
    assert torch.equal(gradients[0], torch.ones_like(states[0]))
    assert torch.equal(gradients[1], torch.full_like(states[1], 2.0))
    assert all(not gradient.any() for gradient in gradients[2:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_second_derivatives_vmap_and_jvp_name_the_reference():
    rnn, x = layers(), inputs()
    (gradient,) = torch.autograd.grad(rnn(x)[0].sum(), x, create_graph=True)
    with pytest.raises(BackendError, match="first derivatives only; use backend='reference'"):
        torch.autograd.grad(gradient.sum(), x)
    with pytest.raises(BackendError, match=r"do not go through torch.vmap. .* runs it on 'reference'"):
        torch.vmap(lambda one: rnn(one)[0])(x.detach().unsqueeze(0))
    with pytest.raises(BackendError, match=r"do not go through forward-mode .* runs it on 'reference'"):
        torch.func.jvp(lambda one: rnn(one)[0], (x.detach(),), (torch.ones_like(x),))


def test_a_few_rows_are_split_over_units():
    """The same as one thread computes, for one row and for two."""
    threads = torch.get_num_threads()
    rnn = Recurrent(LSTM, 3, 133, backend="cpu").double()
    cases.randomise(rnn)
    slices = []
    try:
        for batch in (1, 2, 3):
            x = torch.randn(batch, 6, 3, dtype=torch.float64)
            found = []
            for number in (1, 3):
                torch.set_num_threads(number)
                from recurra.engine.cpu.kernel import partition

                work = partition(None, batch, 6 * batch, 133)
                slices.append((number, work.slices, work.split))
                outputs, _ = rnn(x)
                found.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()))])
            assert all(cases.difference(a, b) < 1e-12 for a, b in zip(*found, strict=True))
    finally:
        torch.set_num_threads(threads)
    assert slices.count((3, 3, True)) == 3


def test_the_first_call_does_not_wait_for_the_compiler_of_pytorch():
    code = (
        "import sys, torch, recurra\n"
        "rnn = recurra.Recurrent(recurra.cells.LSTM, 2, 3, backend='cpu')\n"
        "rnn(torch.zeros(1, 2, 2))[0].sum().backward()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_autocast_computes_in_float32(monkeypatch):
    """On a processor that has no bfloat16 products."""
    from recurra.engine import cpu

    monkeypatch.setattr(cpu, "BFLOAT16", False)
    rnn = layers().float()
    x = torch.randn(BATCH, TIME, INPUT)
    expected, _ = rnn(x)
    with torch.autocast("cpu", torch.bfloat16):
        found, final = rnn(x)
    assert found.dtype == torch.float32
    assert final.layers[0][0]["c"].dtype == torch.float32
    assert torch.equal(found, expected)


def test_products_in_bfloat16_of_several_operands_and_ragged_rows(monkeypatch):
    from recurra.engine import cpu

    rnn = cases.recurrent("gru", INPUT, 21, torch.float32, backend="cpu")
    x, lengths = torch.randn(7, TIME, INPUT), torch.tensor([4, 0, 2, 1, 3, 4, 4])
    found = []
    for rounded in (False, True):
        monkeypatch.setattr(cpu, "BFLOAT16", rounded)
        with torch.autocast("cpu", torch.bfloat16):
            outputs, _ = rnn(x, lengths=lengths)
            found.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()))])
    for ours, theirs in zip(*found, strict=True):
        assert 1e-5 < cases.difference(ours, theirs) < 3e-2


@pytest.mark.parametrize("hidden", [16, 21])
def test_products_in_bfloat16_where_the_processor_has_them(hidden, monkeypatch):
    """Under autocast: exactly what rounding operands and weights gives, and near to what not rounding gives."""
    from recurra.engine import cpu

    rnn = Recurrent(Elman, INPUT, hidden, backend="cpu")
    cases.randomise(rnn)
    own, x = rnn.cells[0][0], torch.randn(7, TIME, INPUT)

    def outputs_and_gradients():
        outputs, _ = rnn(x)
        return [outputs, *torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()))]

    exact = outputs_and_gradients()
    monkeypatch.setattr(cpu, "BFLOAT16", True)
    assert torch.equal(outputs_and_gradients()[0], exact[0]), "only under autocast"
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs_and_gradients()
    h, weight = torch.zeros(7, hidden), own.hidden_weight.bfloat16().float()
    for t in range(TIME):
        projected = (x[:, t].bfloat16() @ own.input_weight.bfloat16().T).float() + own.bias
        h = torch.tanh(projected + h.bfloat16().float() @ weight.T)
        assert cases.difference(found[0][:, t], h) < (1e-2 if t else 1e-5)  # a sum may round to the next
    for ours, theirs in zip(found, exact, strict=True):
        assert 1e-5 < cases.difference(ours, theirs) < 3e-2


def test_kernels_are_what_runs(monkeypatch):
    """The layer goes through the operator, and a failure there is not covered up."""
    from recurra.engine.cpu import kernel

    def fail(*arguments, **settings):
        raise RuntimeError("ran")

    monkeypatch.setattr(kernel.Kernel, "launch", fail)
    with pytest.raises(RuntimeError, match="ran"):
        layers()(inputs())


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (1, lambda one: one[:, :-1], r"projected: expected \[12, 20\]"),
        (1, lambda one: one.float(), "projected: expected .* of torch.float64, got .* of torch.float32"),
        (2, lambda one: one[:-1], r"hidden_weight: expected \[20, 5\]"),
        (2, lambda one: None, "rows of hidden weights"),
        (3, lambda one: torch.tensor([4, 4, 3]), "lengths: expected 3 whole numbers that sum up to 12 steps"),
        (4, lambda one: [one[0], one[1][:, :-1]], r"states: expected \[3, 5\]"),
        (4, lambda one: one[:1], "expected 2 states"),
        (5, lambda one: one[:-1], "3 per-unit parameters"),
        (5, lambda one: [part[:-1] for part in one], r"per-unit parameters: expected \[5\]"),
        (6, lambda one: [part[:-1] for part in one], "mask recurrent: expected"),
    ],
)
def test_nothing_reaches_the_kernels_without_having_been_checked(place, wrong, message):
    """Called by hand, with what would be read beyond its end."""
    given = list(arguments(layers().cells[0][0], None, masked=True))
    given[place] = wrong(given[place])
    with pytest.raises(ShapeError, match=message):
        torch.ops.recurra.forward(*given)
