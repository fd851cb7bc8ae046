"""Every recipe that comes with recurra is a configuration of its task, and says why each of its keys is as it is."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from commands import fails
from recurra.cli import main
from recurra.cli.config_files import recipe_names
from recurra.cli.options import Options
from recurra.tasks.automatic import settled
from recurra.tasks.registry import TASKS, find_task

FOLDER = files("recurra") / "recipes"


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def task_of(name: str) -> str:
    """As its head says: `recurra train TASK --config NAME`."""
    found = re.search(rf"^#   recurra train (\w+) --config {name} ", text_of(name), re.MULTILINE)
    assert found is not None, f"{name}: its head has no command"
    return found[1]


def test_there_are_recipes():
    assert set(recipe_names()) >= {
        "tinyshakespeare",
        "wikitext2",
        "multi30k",
        "tatoeba",
        "dates",
        "pronounce",
    }


@pytest.mark.parametrize("name", recipe_names())
def test_it_is_a_configuration_of_its_task(name):
    config = find_task(task_of(name)).config
    options = Options(f"train {task_of(name)}", "", "")
    options.add_config(config, {})
    built = options.build(config, options.parse(["--config", name, "--training.seed", "7"]))
    assert built.training.seed == 7
    assert built != config()
    assert built.training.minutes is not None


@pytest.mark.parametrize("name", recipe_names())
def test_it_leaves_nothing_to_be_chosen(name):
    config = find_task(task_of(name)).config
    options = Options(f"train {task_of(name)}", "", "")
    options.add_config(config, {})
    built = options.build(config, options.parse(["--config", name]))
    assert settled(find_task(task_of(name)), built)[1] == {}


@pytest.mark.parametrize("name", recipe_names())
def test_each_key_has_a_comment(name):
    lines = [line for line in text_of(name).splitlines() if line and not line.startswith("#")]
    for line in lines:
        section = re.fullmatch(r" *\w+:", line)
        assert section or re.search(r"\S # \S", line), f"{name}: {line!r} has no comment"


def test_an_unknown_recipe_is_named_with_the_nearest(capsys, tmp_path):
    message = fails(capsys, "train", "lm", "--config", "tinyshakespear", "--out", str(tmp_path / "run"))
    assert "Did you mean 'tinyshakespeare'" in message
    assert not (tmp_path / "run").exists()


def test_the_help_lists_them(capsys):
    for name in TASKS:
        with pytest.raises(SystemExit):
            main(["train", name, "--help"])
        printed = " ".join(capsys.readouterr().out.split())
        assert all(recipe in printed for recipe in recipe_names())
