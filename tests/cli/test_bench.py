"""`recurra selfcheck` and `recurra bench cells`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commands import prints
from recurra.cli import main
from recurra.engine.cpu import build


def test_selfcheck_compares_and_fails_where_a_backend_is_wrong(capsys, monkeypatch):
    out = prints(capsys, "selfcheck", "--cell", "elman")
    assert "agree with the reference" in out
    assert "gpu did not run: it runs on CUDA devices" in out
    assert {line.split()[1] for line in out.splitlines() if line.endswith("right")} >= {"vendor"}

    from recurra.engine import vendor

    right = vendor.run
    monkeypatch.setattr(
        vendor, "run", lambda call: replace(result := right(call), outputs=result.outputs * 1.001)
    )
    assert main(["selfcheck", "--cell", "elman"]) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")
def test_bench_cells_prints_a_table_and_draws_it(capsys, tmp_path):
    picture = tmp_path / "cells.png"
    for cell, peers in (("lstm", ["torch", "torch packed"]), ("gru", ["loop", "reference"])):
        out = prints(
            capsys,
            "bench",
            "cells",
            "--cell",
            cell,
            "--shapes",
            "3x2x8,2x3x8",
            "--repeats",
            "1",
            "--out",
            str(picture),
        )
        assert picture.read_bytes().startswith(b"\x89PNG")
        for peer in peers:
            ours = "generated ragged" if "packed" in peer else "generated"
            assert f"{cell} {ours} over {peer}: " in out
    for options in (["--shapes", "3x2"], ["--repeats", "0"], ["--out", "cells.jpg"]):
        assert main(["bench", "cells", *options]) == 2
