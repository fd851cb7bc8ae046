"""Configuration files: files and recipes by name, and their entries by line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recurra import __version__
from recurra.cli import config_files
from recurra.cli.config_files import find_config, read_yaml, recipe_names
from recurra.cli.options import Options
from recurra.errors import ConfigError
from recurra.settings import setting


@dataclass(frozen=True)
class Part:
    """A group of keys.

    Attributes:
        count: how many.
        names: whose.
        rate: how fast.
    """

    count: int = setting(3, at_least=1)
    names: list[str] = setting([])
    rate: float = 1.0


@dataclass(frozen=True)
class Whole:
    part: Part = field(default_factory=Part)


def part(*arguments: str) -> Part:
    options = Options("train", "A verb.", "--out RUN")
    options.add_config(Whole, {})
    return options.build(Whole, options.parse(arguments)).part


# --- recipes ------------------------------------------------------------------------------------------


@pytest.fixture
def recipes(tmp_path, monkeypatch) -> Path:
    """A folder of recipes in the place of the package's own, and an empty working directory."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "quick.yaml").write_text("part:\n  count: 7\n", encoding="utf-8")
    (folder / "notes.txt").write_text("no recipe", encoding="utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(config_files, "_recipes", lambda: folder)
    return folder


def test_a_recipe_is_read_by_its_name(recipes):
    assert recipe_names() == ["quick"]
    assert part("--config", "quick").count == 7
    assert part("--config", "quick", "--part.count", "9").count == 9


def test_a_file_goes_before_a_recipe_and_a_folder_does_not(recipes):
    Path("quick").mkdir()
    assert find_config("quick") == recipes / "quick.yaml"
    Path("quick").rmdir()
    Path("quick").write_text("part:\n  count: 5\n", encoding="utf-8")
    assert part("--config", "quick").count == 5


def test_the_nearest_recipe_is_offered(recipes):
    with pytest.raises(ConfigError) as error:
        part("--config", "quik")
    assert str(error.value) == (
        "--config quik: cannot be read (No such file or directory). Did you mean 'quick'?"
    )


def test_without_recipes_the_help_offers_none(recipes, capsys):
    (recipes / "quick.yaml").unlink()
    (recipes / "notes.txt").unlink()
    recipes.rmdir()
    assert recipe_names() == []
    with pytest.raises(SystemExit):
        part("--help")
    assert "a YAML file of the keys below; the command line" in " ".join(capsys.readouterr().out.split())


# --- entries ------------------------------------------------------------------------------------------


def test_entries_come_with_their_lines_and_dotted_keys(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# a comment\na:\n  b: 1\n  c:\n    d: [x, y]\ne: {f: 2}\n", encoding="utf-8")
    assert list(read_yaml(path, ["a.b", "a.c.d", "e"])) == [
        (3, "a.b", 1),
        (5, "a.c.d", ["x", "y"]),
        (6, "e", {"f": 2}),  # no section, but a key whose value is a mapping
    ]
    path.write_text("", encoding="utf-8")
    assert list(read_yaml(path, ["a.b"])) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a:\n  - 1\n", "line 2: expected `key: value` lines"),
        (b"a: [\n", "line 2: not YAML"),
        (b"e: !!python/name:os.system\n", "line 1: YAML tags are not read"),
        (b"\xff", "cannot be read (not UTF-8)"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        list(read_yaml(path, ["a.b", "e"]))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_several_files_are_merged_in_order_and_a_later_list_replaces_an_earlier_one(tmp_path):
    paths = []
    for name, text in (("a", "count: 4\n  names: [a, b]"), ("b", "names: [c]"), ("c", "rate: 2")):
        paths += ["--config", str(tmp_path / f"{name}.yaml")]
        (tmp_path / f"{name}.yaml").write_text(f"part:\n  {text}\n", encoding="utf-8")
    assert part(*paths) == Part(4, ["c"], 2.0)
    assert part(*paths, "--part.names", "d", "--part.names", "e", "--part.count=5") == Part(
        5, ["d", "e"], 2.0
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "expected a file, got a folder, pipe or device"),
        (lambda path: os.mkfifo(path), "expected a file, got a folder, pipe or device"),
        (lambda path: path.symlink_to("/dev/zero"), "expected a file, got a folder, pipe or device"),
        (lambda path: path.write_bytes("part: {count: 4}".encode("utf-16")), "cannot be read (UTF-16)"),
        (lambda path: path.write_bytes(b" " * 5_000_000), "bytes of YAML; is it another file?"),
        (lambda path: path.write_text("part: {count: 4}\npart: {rate: 2}\n"), "line 2: key 'part' is given twice"),
        (lambda path: path.write_text("part: {count: 4}\npart.count: 4\n"), "line 2: key 'part.count' is given twice"),
        (lambda path: path.write_text("part: {coutn: 4}"), f"'part.count'? (This is recurra {__version__}.)"),
        (lambda path: path.write_text(f"part: {{count: {'9' * 5000}}}"), "expected a number of at most 1000 digits"),
    ],
)  # fmt: skip
def test_what_can_be_no_configuration_is_named_as_what_it_is(tmp_path, make, says):
    path = tmp_path / "a.yaml"
    make(path)
    with pytest.raises(ConfigError) as error:
        part("--config", str(path))
    assert says in str(error.value)
    assert len(str(error.value)) <= 500
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("part: {count: 4}", encoding="utf-8-sig")
    assert part("--config", str(path)).count == 4
