"""The table of PyTorch's transformations in docs/engine.md is what happens.

Those whose first call in a process matters are tried in fresh processes: some here, the rest in `make test-all`.
"""

from __future__ import annotations

import itertools
import re

import pytest
import torch

import transformations
from recurra import Recurrent
from recurra.cells import LSTM
from recurra.engine.cpu import build
from transformations import BACKENDS, FRESH, ROWS, TRANSFORMATIONS

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here"),
    pytest.mark.timeout(300),
    # PyTorch's own, on its way to forward-mode derivatives.
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
]
DOCUMENTED = transformations.documented()
# In fresh processes, in `make test`: what has been wrong before.
SOME = [
    ("torch.compile(fullgraph=True)", "cpu", "even"),
    ("torch.compile(fullgraph=True)", "cpu", "ragged"),
    ("torch.export, saved and loaded elsewhere", "cpu", "even"),
    ("DistributedDataParallel", "cpu", "ragged"),
]
ALL = list(itertools.product(TRANSFORMATIONS, BACKENDS, ROWS))
IN_PROCESS = [one for one in ALL if one[0] not in FRESH and one[1] != "gpu"]
ELSEWHERE = [one for one in ALL if one not in IN_PROCESS and one not in SOME]


def test_the_table_is_whole():
    assert sorted(DOCUMENTED) == sorted(ALL)
    assert all(
        re.fullmatch(r"works|not tried|no: `(reference|cpu|vendor)`", cell) for cell in DOCUMENTED.values()
    )


def check(found: str, name: str, backend: str, rows: str) -> None:
    """The outcome is as documented; a refusal is one line that names a backend that works."""
    documented = DOCUMENTED[name, backend, rows]
    if found == "works":
        assert documented in ("works", "not tried")
        return
    instead = documented.removeprefix("no: ").strip("`")
    assert "\n" not in found
    assert f"'{instead}'" in found, found
    # The vendor's refusal cannot know of fullgraph=True: it names the cpu backend, whose refusal names the reference.
    following = DOCUMENTED[name, instead, rows]
    assert following == "works" or ("fullgraph" in name and following == "no: `reference`")


@pytest.mark.parametrize(("name", "backend", "rows"), IN_PROCESS)
def test_in_this_process(name, backend, rows):
    check(transformations.outcome(name, backend, rows), name, backend, rows)


@pytest.mark.parametrize(("name", "backend", "rows"), SOME)
def test_in_a_fresh_process(name, backend, rows):
    check(transformations.outcome_elsewhere(name, backend, rows), name, backend, rows)


# Where the transformation is known when the layer is called, auto takes a backend that goes through it. It depends on
# the processor which one that is, so auto has no column.
AUTO = [
    (name, rows)
    for name in TRANSFORMATIONS
    for rows in ROWS
    if name != "second derivatives" and (name, rows) != ("torch.compile(fullgraph=True)", "ragged")
]


@pytest.mark.parametrize(("name", "rows"), [one for one in AUTO if one[0] not in FRESH])
def test_auto_works(name, rows):
    assert transformations.outcome(name, "auto", rows) == "works"


def test_auto_compiles():
    """In training, on a processor with AVX-512 too, where auto takes the vendor's kernel otherwise."""
    assert transformations.outcome_elsewhere("torch.compile", "auto", "even") == "works"


@pytest.mark.full
@pytest.mark.parametrize(("name", "rows"), [one for one in AUTO if one[0] in FRESH])
def test_auto_works_in_a_fresh_process(name, rows):
    assert transformations.outcome_elsewhere(name, "auto", rows) == "works"


@pytest.mark.full
@pytest.mark.parametrize(("name", "backend", "rows"), ELSEWHERE)
def test_the_rest_in_fresh_processes(name, backend, rows):
    if DOCUMENTED[name, backend, rows] == "not tried":
        pytest.skip("it would run on a GPU, and there is none")
    check(transformations.outcome_elsewhere(name, backend, rows), name, backend, rows)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_compiled_whole_with_dropout_between_layers_and_a_chunk(backend):
    rnn = Recurrent(LSTM, 3, 5, num_layers=2, dropout=0.5, backend=backend)
    layer = torch.compile(rnn, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 6, 3)
    first, second = (layer(x)[0] for _ in range(2))
    assert not torch.equal(first, second)
    first.sum().backward()
    assert all(parameter.grad is not None for parameter in rnn.parameters())
    assert torch.equal(layer.eval()(x)[0], layer(x)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_compiled_whole_with_gates():
    rnn = Recurrent(LSTM, 3, 5)
    x = torch.randn(4, 6, 3)
    *_, found = torch.compile(rnn, fullgraph=True, backend="aot_eager")(x, return_gates=True)
    *_, expected = rnn(x, return_gates=True)
    for name, value in expected[0][0].items():
        torch.testing.assert_close(found[0][0][name], value)
