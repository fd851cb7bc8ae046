"""Configuration files: files and recipes by name, and their entries by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

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
    """

    count: int = setting(3, at_least=1)


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
        (b"e: !!python/name:os.system\n", "line 1: not YAML"),
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
