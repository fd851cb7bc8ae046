"""What was looked at: its files, and what a notebook displays of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recurra.errors import ConfigError
from recurra.inspection.figures import new_figure
from recurra.inspection.shown import Shown

PAGE = '<!DOCTYPE html><p title="a">&amp;</p>'


def test_everything_is_saved_beside_the_picture(tmp_path: Path) -> None:
    inner = Shown(new_figure(1, 1), tables=[(("z",), [(0,)])])
    shown = Shown(new_figure(2, 1), PAGE, [(("a", "b"), [(1, 2.5)]), (("c",), [])], further={"other": inner})
    files = shown.save(tmp_path / "plots" / "it.png")
    assert [file.name for file in files] == [
        "it.png",
        "it.html",
        "it.csv",
        "it_2.csv",
        "other.png",
        "other.csv",
    ]
    assert {file.name for file in files} == {path.name for path in (tmp_path / "plots").iterdir()}
    assert (tmp_path / "plots" / "it.csv").read_text() == "a,b\n1,2.5\n"
    assert (tmp_path / "plots" / "it.html").read_text() == PAGE


def test_what_there_is_not_is_not_saved(tmp_path: Path) -> None:
    assert Shown().save(tmp_path / "it.png") == []
    assert [file.name for file in Shown(page="p").save(str(tmp_path / "it.PNG"))] == ["it.html"]
    with pytest.raises(ConfigError, match=r"path: expected a file that ends in \.png, got 'it\.pdf'"):
        Shown().save("it.pdf")


def test_a_notebook_displays_picture_and_page() -> None:
    shown = Shown(new_figure(2, 1), PAGE)
    picture, page = shown._repr_png_(), shown._repr_html_()
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert page is not None
    assert 'srcdoc="&lt;!DOCTYPE html&gt;&lt;p title=&quot;a&quot;&gt;&amp;amp;&lt;/p&gt;"' in page
    assert (Shown()._repr_png_(), Shown()._repr_html_()) == (None, None)


def test_it_needs_no_torch() -> None:
    code = "import sys, recurra.inspection.shown; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
