"""`recurra explain`."""

from __future__ import annotations

from commands import prints


def test_explain_names_the_backend_and_why_not_the_others(capsys):
    out = prints(
        capsys,
        "explain",
        "--cell",
        "peephole_lstm",
        "--hidden-size",
        "5",
        "--bidirectional",
        "--dropout",
        "0.1",
    )
    rows = {line.split()[0]: line.split()[1:3] for line in out.splitlines()[1:]}
    compiled = rows["cpu"][0] == "yes"
    assert rows["cpu"] == (["yes", "yes"] if compiled else ["no", "no"])
    assert rows["reference"] == ["yes", "no" if compiled else "yes"]
    assert rows["vendor"] == ["no", "no"]
    out = prints(capsys, "explain", "--cell", "lstm", "--ragged")
    chosen = [line.split()[0] for line in out.splitlines() if line.split()[1:3] == ["yes", "yes"]]
    assert chosen == ["cpu" if compiled else "vendor"]
    assert "zoneout" in prints(capsys, "explain", "--cell", "lstm", "--zoneout", "{c: 0.1}")


def test_explain_prints_equations_latex_and_code(capsys):
    assert "d_c' += d_h' * output" in prints(capsys, "explain", "--equations")
    assert r"\odot" in prints(capsys, "explain", "--latex")
    code = prints(capsys, "explain", "--cell", "gru", "--show-code", "--dtype", "float64")
    assert "#define REAL double" in code
    assert "//   d_h = d_h' * (1 - update)" in code
    assert "tl.program_id" in prints(capsys, "explain", "--cell", "gru", "--show-code", "--device", "cuda")


def test_explain_prints_equations_of_a_users_cell(capsys, folder):
    out = prints(capsys, "explain", "--cell", f"{folder / 'mine.py'}:Leaky", "--equations")
    assert "tanh(W_candidate [h, x] + b_candidate)" in out
