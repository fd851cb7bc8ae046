"""Tables and JSON lines."""

from __future__ import annotations

import json
import math

from recurra.cli.tables import print_json, print_table


def test_numbers_go_to_the_right_and_text_to_the_left(capsys):
    print_table(("name", "value"), [("loss", 1.5), ("a long name", 12345678.0), ("n", 7)])
    assert capsys.readouterr().out.splitlines() == [
        "name             value",
        "loss            1.5000",
        "a long name  1.235e+07",
        "n                    7",
    ]


def test_yes_and_no(capsys):
    print_table(("runs",), [(True,), (False,)])
    assert capsys.readouterr().out.split() == ["runs", "yes", "no"]


def test_json_has_no_infinity_at_any_depth_and_keeps_every_letter(capsys):
    print_json({"x": math.inf, "in": [{"y": math.nan}], "text": "größer"})
    out = capsys.readouterr().out
    assert "größer" in out
    assert json.loads(out) == {"x": None, "in": [{"y": None}], "text": "größer"}
