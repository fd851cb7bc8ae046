"""Whether a backend agrees with the reference on a cell: outputs, final states and every gradient."""

from __future__ import annotations

import torch

import cases
from recurra import Recurrent

BACKENDS = ("reference", "cpu")


def both(cell, hidden=9, rows=5, steps=4, lengths=None, dtype=torch.float64, training=False, **options):
    """Outputs, states and all gradients, on the reference and on the cpu backend."""
    found = []
    for backend in BACKENDS:
        torch.manual_seed(3)
        rnn = Recurrent(cell, 3, hidden, backend=backend, **options).to(dtype)
        cases.randomise(rnn)
        rnn.train(training)
        x = cases.leaf(torch.randn(rows, steps, 3, dtype=dtype))
        start = cases.random_state(rnn, rows).map(cases.leaf)
        outputs, final = rnn(x, start, lengths)
        results = {"outputs": outputs, **dict(final.tensors())}
        loss = sum((value * torch.randn_like(value)).sum() for value in results.values())
        leaves = {"x": x, **dict(rnn.named_parameters())} | {f"initial {k}": v for k, v in start.tensors()}
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        found.append({**results, **{f"d {k}": g for k, g in zip(leaves, gradients, strict=True)}})
    return found


def assert_equal(pair, tolerance=1e-12):
    expected, found = pair
    assert expected.keys() == found.keys()
    differences = {name: cases.difference(found[name], value) for name, value in expected.items()}
    wrong = {name: value for name, value in differences.items() if value > tolerance}
    assert not wrong, wrong
