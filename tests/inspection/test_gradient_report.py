"""Reports of one network and of several, over ragged rows; their files; the worked example of memory held."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jacobians import randomised
from recurra.cells import CELLS
from recurra.errors import ConfigError, ShapeError
from recurra.inspection.gradient_report import Report, report_gradients, show_gradients
from recurra.inspection.gradients import measure
from recurra.inspection.saturation import saturation
from recurra.layers.recurrent import Recurrent


def files_of(report: Report, folder: Path, title: str = "") -> set[str]:
    """The names of the files in which a report is shown."""
    shown = show_gradients(report, title)
    return {path.name for path in shown.save(folder / f"{shown.name}.png")}


def test_memory_held_over_a_thousand_steps(tmp_path: Path) -> None:
    """A GRU whose update gate stays shut: the state is constant, its derivative about 1, the picture white."""
    rnn = Recurrent(CELLS["gru"], 3, 5)
    with torch.no_grad():
        rnn.cells[0][0].rows("bias", "update").fill_(-16.0)  # type: ignore[operator]
    x = torch.randn(2, 1001, 3)
    state = rnn.zero_state(2).map(lambda tensor: torch.rand_like(tensor) - 0.5)
    outputs, _ = rnn(x, state)
    start = state.layers[0][0]["h"]
    assert (outputs - start[:, None]).abs().max() < 1e-3
    report = report_gradients([("", rnn, x, None)], output_steps=20)
    files_of(report, tmp_path)
    (found,), (flow,) = report.verdicts, report.flows
    curve = 10 ** flow.curve()[0]
    assert len(curve) == 1001
    assert abs(curve - 1).max() < 2e-3
    assert found.kind == "holding"
    assert "1,000 lags" in found.text
    from matplotlib.image import imread

    picture = imread(tmp_path / "gradient_map.png")
    middle = picture[int(0.7 * picture.shape[0]), int(0.6 * picture.shape[1]), :3]
    assert middle.min() > 0.93, "a held derivative is drawn (nearly) white"


def test_the_files_hold_what_was_measured(tmp_path: Path) -> None:
    rnn = randomised(Recurrent(CELLS["lstm"], 3, 4, 2, bidirectional=True))
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    records = [{"step": 10, "clip_rate": 0.5}, {"step": 40, "clip_rate": 0.1}]
    report = report_gradients([("rnn", rnn, x, None)], metrics=records)
    files = files_of(report, tmp_path / "new", "a run")
    assert report.clip_rate == pytest.approx(0.2)
    names = {"gradient_map.png", "gradient_map.csv", "gradient_curves.png", "gradient_curves.csv"}
    assert files == names | {"gate_saturation.png", "gate_saturation.csv"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == files
    table = (tmp_path / "new" / "gradient_map.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    assert len(rows) == 4 * 45
    backward = report.flows[1]
    row = next(
        row
        for row in rows
        if (row["layer"], row["direction"], row["output_step"], row["lag"]) == ("1", "backward", "2", "4")
    )
    assert row["state_step"] == "6"
    assert row["method"] == "exact"
    assert float(row["norm"]) == pytest.approx(10 ** backward.log10_norms[2, 4], rel=1e-5)
    assert report.lines()[-1] == report.verdicts[-1].text
    assert len(report.as_dict()["layers"]) == 4


def two_networks() -> tuple[Recurrent, Recurrent]:
    """An encoder of one layer and a decoder of two, of other widths and cells."""
    return randomised(Recurrent(CELLS["gru"], 3, 4)), randomised(Recurrent(CELLS["lstm"], 2, 3, 2))


def test_several_networks_are_told_apart_by_name_in_files_verdicts_and_records(tmp_path: Path) -> None:
    encoder, decoder = two_networks()
    x, y = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 5, 2, dtype=torch.float64)
    report = report_gradients([("encoder", encoder, x, None), ("decoder/top", decoder, y, None)])
    assert [flow.name for flow in report.flows] == [
        "encoder layer 1",
        "decoder/top layer 1",
        "decoder/top layer 2",
    ]
    for found, alone in zip(report.flows, [*measure(encoder, x), *measure(decoder, y)], strict=True):
        np.testing.assert_array_equal(found.log10_norms, alone.log10_norms)
    assert [entry.high for entry in report.saturations] == [
        entry.high for entry in [*saturation(encoder, x), *saturation(decoder, y)]
    ]
    stems = ("gradient_curves", "gradient_map", "gate_saturation")
    expected = {
        f"{stem}_{part}.{kind}"
        for stem in stems
        for part in ("encoder", "decoder_top")
        for kind in ("png", "csv")
    }
    assert files_of(report, tmp_path) == expected == {path.name for path in tmp_path.iterdir()}
    lines = report.lines()
    assert lines[0].startswith("measured encoder: exact Jacobians")
    assert lines[-2].startswith("decoder/top layer 1: ")
    assert any(line.startswith("encoder layer 1 update: ") for line in lines)
    record = json.loads(json.dumps(report.as_dict()))
    assert [layer["part"] for layer in record["layers"]] == ["encoder", "decoder/top", "decoder/top"]


def test_one_network_is_not_named(tmp_path: Path) -> None:
    encoder, _ = two_networks()
    report = report_gradients([("encoder", encoder, torch.randn(1, 4, 3, dtype=torch.float64), None)])
    assert [flow.name for flow in report.flows] == ["layer 1"]
    shown = show_gradients(report, "a run")
    assert list(shown.further) == ["gradient_map", "gate_saturation"]
    assert shown.text.split("\n") == report.lines()
    assert shown.figure is not None
    assert shown.figure.get_suptitle() == "How far gradients reach back: a run"


def test_ragged_rows_are_cut_to_the_shortest_that_can_be_measured() -> None:
    encoder, _ = two_networks()
    x = torch.randn(5, 9, 3, dtype=torch.float64)
    lengths = torch.tensor([9, 1, 4, 0, 6])
    report = report_gradients([("", encoder, x, lengths)])
    (expected,) = measure(encoder, x[[0, 2, 4], :4])
    np.testing.assert_array_equal(report.flows[0].log10_norms, expected.log10_norms)
    assert report.lines()[0] == (
        "measured: exact Jacobians, every output step, 3 of 5 rows cut to 4 steps, the shortest one's"
    )
    whole = report_gradients([("", encoder, x, torch.full((5,), 9))])
    assert whole.lines()[0] == "measured: exact Jacobians, every output step"
    assert whole.flows[0].length == 9


def test_what_cannot_be_reported_is_refused_in_one_line() -> None:
    encoder, _ = two_networks()
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"layers: expected at least one, .* got \[\]"):
        report_gradients([])
    with pytest.raises(ConfigError, match=r"each with a name of its own, got \['a', 'a'\]"):
        report_gradients([("a", encoder, x, None)] * 2)
    with pytest.raises(
        ShapeError, match=r"lengths: expected a row of at least 2 steps to look back over, got \[1, 0\]"
    ):
        report_gradients([("", encoder, x, torch.tensor([1, 0]))])
