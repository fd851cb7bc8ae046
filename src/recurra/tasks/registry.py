"""The tasks there are: what is known of each without importing it.

The list of verbs, `train NAME`, every help text and every hint come from here. Nothing heavy is imported, so that
`recurra --help` does not wait for PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from recurra.errors import RunError, quoted

if TYPE_CHECKING:
    from recurra.tasks.task import AnyTask


@dataclass(frozen=True)
class Entry:
    """What is known of a task without importing it.

    Attributes:
        module: the module whose `TASK` it is.
        summary: what `recurra train NAME` does, for the list of verbs: a verb and a noun.
        noun: what a run of it is, with its article: "a language model".
        data: what it learns from, and what where no files are given; a sentence.
        usage: of the files, in the usage line of `recurra train NAME`.
        next: what to do with a finished run, for the end of training; `{run}` stands for its folder.
        views: what `recurra inspect VIEW RUN` shows of its runs alone, by name: a summary for the list of verbs.
        verbs: other names under which its runs are used, by name: `recurra NAME RUN` is `recurra predict RUN`.
    """

    module: str
    summary: str
    noun: str
    data: str
    usage: str
    next: str
    views: Mapping[str, str] = field(default_factory=dict)
    verbs: Mapping[str, str] = field(default_factory=dict)


TASKS: dict[str, Entry] = {
    "lm": Entry(
        module="recurra.tasks.lm",
        summary="train a language model on text",
        noun="a language model",
        data="What to learn from; without --data.train, the text of Python's own documentation.",
        usage="[--data.train FILE ...]",
        next="`recurra sample {run}` samples from it",
        verbs={"score": "score each line of text: how probable it is"},
    ),
    "translate": Entry(
        module="recurra.tasks.translate",
        summary="train a translator on pairs of lines",
        noun="a translator",
        data="What to learn from; without files, the spelling of English words and their pronunciation.",
        usage="[--data.train FILE.tsv | --data.train_source FILE --data.train_target FILE]",
        next="`recurra predict {run} < FILE` translates",
        views={
            "attention": "draw which source symbols a translation was read from",
            "beam": "draw a beam search as a tree",
            "errors": "tell the model's errors from the search's",
            "lengths": "score translators by source length",
        },
    ),
}

COMMON_VIEWS = {
    "gradients": "see how far gradients reach back in time",
    "gates": "colour a sequence by what each unit does",
}
"""What `recurra inspect VIEW RUN` shows of every task's runs."""


def find_task(name: str) -> AnyTask:
    """The task of a name in `TASKS`, imported."""
    task: AnyTask = import_module(TASKS[name].module).TASK
    return task


def task_of(config: Any) -> AnyTask:
    """The task whose configuration it is.

    Raises:
        ConfigError: it is the configuration of none.
    """
    from recurra.errors import ConfigError

    tasks = [find_task(name) for name in TASKS]
    for task in tasks:
        if isinstance(config, task.config):
            return task
    got, hint = type(config).__name__, ""
    if isinstance(config, str | os.PathLike):
        got = quoted(config)
        hint = f" Write recurra.train(LMConfig(data=TextConfig(train=[{got}])))."
    elif isinstance(config, type):
        got, hint = f"the class {config.__name__}", f" Write {config.__name__}()."
    raise ConfigError(
        f"config: expected one of {', '.join(task.config.__name__ for task in tasks)}, got {got}.{hint}"
    )


def check_noun(path: object, name: str, wanted: str, verb: str) -> None:
    """Refuse a run of another task than the wanted one, and say what that run is and is good for.

    Args:
        path: of the run.
        name: of its task.
        wanted: the task that `verb` needs.
        verb: what is to be done with it.

    Raises:
        RunError: it is of another task.
    """
    if name != wanted:
        raise RunError(
            f"{path} is {TASKS[name].noun}; {verb} needs {TASKS[wanted].noun}. {TASKS[name].next.format(run=path)}, "
            f"and `recurra train {wanted}` makes {TASKS[wanted].noun}."
        )
