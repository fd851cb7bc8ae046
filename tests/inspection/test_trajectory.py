"""Layers run step by step against layers run at once; ragged rows cut to one length."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import CELLS
from recurra.errors import ShapeError
from recurra.inspection.trajectory import CHUNK, rows_of_one_length, trajectories
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation


def test_states_and_outputs_are_those_of_the_layers() -> None:
    """The stepped trajectory is the layers' own run: zoneout, residual, both directions, learned start."""
    rnn = Recurrent(
        CELLS["lstm"],
        4,
        3,
        2,
        bidirectional=True,
        residual=True,
        initial_state="learned",
        regularisation=Regularisation(zoneout={"c": 0.2}),
    ).eval()
    for parameter in rnn.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    x = torch.randn(2, CHUNK + 5, 4)
    outputs, final = rnn(x)
    found = trajectories(rnn, x)
    states = [each.all_states() for each in found]
    joined = torch.cat([states[2]["h"], states[3]["h"]], 2) + torch.cat([states[0]["h"], states[1]["h"]], 2)
    torch.testing.assert_close(joined, outputs, rtol=1e-4, atol=1e-5)
    for each, values in zip(found, states, strict=True):
        backward = each.direction == "backward"
        last = values["c"][:, 0 if backward else -1]
        torch.testing.assert_close(last, final.layers[each.layer][int(backward)]["c"], rtol=1e-4, atol=1e-5)


def test_gates_are_those_that_the_layers_return() -> None:
    rnn = Recurrent(CELLS["peephole_lstm"], 3, 4, bidirectional=True).eval()
    x = torch.randn(2, CHUNK + 3, 3)
    _, _, gates = rnn(x, return_gates=True)
    for direction, trajectory in enumerate(trajectories(rnn, x)):
        assert trajectory.cell_and_size == "PeepholeLSTM, 4 units"
        for name in trajectory.program.gates:
            found = torch.cat([trajectory.chunk(number).gates()[name] for number in range(2)], 1)
            found = found.flip(1) if direction else found
            torch.testing.assert_close(found, gates[0][direction][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "rows", "steps", "note"),
    [
        (None, [0, 1, 2], 6, ""),
        ([6, 6, 6], [0, 1, 2], 6, ""),
        ([6, 2, 3], [0, 1, 2], 2, "3 rows cut to 2 steps, the shortest one's"),
        ([5, 0, 1], [0], 5, "1 of 3 rows cut to 5 steps, the shortest one's"),
        ([1, 6, 6], [1, 2], 6, "2 of 3 rows cut to 6 steps, the shortest one's"),
    ],
)
def test_ragged_rows_become_rows_of_one_length(
    lengths: list[int] | None, rows: list[int], steps: int, note: str
) -> None:
    x = torch.randn(3, 6, 2)
    found, said = rows_of_one_length(x, None if lengths is None else torch.tensor(lengths))
    torch.testing.assert_close(found, x[rows, :steps], rtol=0, atol=0)
    assert said == note


@pytest.mark.parametrize("lengths", [[6, 6], [7, 6, 6], [-1, 2, 2], [[6, 6, 6]]])
def test_lengths_that_do_not_fit_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ShapeError, match=r"lengths: expected one per row of x \[3, 6, 2\], 0 to T"):
        rows_of_one_length(torch.randn(3, 6, 2), torch.tensor(lengths))
