"""What `inspect` writes and prints of what a view shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recurra.cli.options import Options
from recurra.cli.shown import add_output, show
from recurra.inspection.figures import new_figure
from recurra.inspection.shown import Shown

TABLE = (("gate", "saturated"), [("forget", 0.25)])


def picture():
    return new_figure(3.0, 2.0, "Two lines")


def printed(capsys, shown: Shown, out: Path, as_json: bool = False) -> tuple[list[str], list[str]]:
    show(shown, "gates", out, as_json)
    out_text, err_text = capsys.readouterr()
    return out_text.splitlines(), err_text.splitlines()


def test_a_picture_alone_prints_where_it_is(tmp_path, capsys):
    out, err = printed(capsys, Shown(picture(), page="<p>", notes=["a note"]), tmp_path)
    assert out == [str(tmp_path / "gates.png"), str(tmp_path / "gates.html")]
    assert err == ["recurra: a note"]
    assert (tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")


def test_tables_and_text_leave_the_files_to_standard_error(tmp_path, capsys):
    shown = Shown(picture(), tables=[TABLE], printed=[TABLE], text="a verdict")
    out, err = printed(capsys, shown, tmp_path / "mine.png")
    assert err == [f"recurra: wrote {tmp_path / 'mine.png'}", f"recurra: wrote {tmp_path / 'mine.csv'}"]
    assert "gate" in out[0]
    assert "forget" in out[-2]
    assert out[-1] == "a verdict"


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"record": {"a": 1}, "printed": [TABLE]}, [{"a": 1, "files": []}]),
        ({"records": [{"a": 1}, {"a": float("inf")}]}, [{"a": 1}, {"a": None}]),
    ],
)
def test_json_is_one_line_a_record(tmp_path, capsys, fields, lines):
    out, _ = printed(capsys, Shown(**fields), tmp_path, as_json=True)
    assert [json.loads(line) for line in out] == lines


def test_json_of_a_picture_alone_names_its_files(tmp_path, capsys):
    out, err = printed(capsys, Shown(picture(), name="better"), tmp_path, as_json=True)
    assert json.loads(out[0]) == {"files": [str(tmp_path / "better.png")]}
    assert err == [f"recurra: wrote {tmp_path / 'better.png'}"]


def test_the_options_of_the_output():
    options = Options("inspect gates", "Draw them.", "RUN")
    add_output(options)
    values = options.parse(["--out", "a.png", "--json"])
    assert (values.out, values.json) == ("a.png", True)
    values = options.parse([])
    assert (values.out, values.json) == (None, False)
