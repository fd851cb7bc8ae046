"""What somebody who typed something else probably meant: other words for options and verbs, another order of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from recurra.errors import nearest
from recurra.tasks.registry import TASKS

OPTIONS = {
    "lr": "optimiser.learning_rate",
    "rate": "optimiser.learning_rate",
    "wd": "optimiser.weight_decay",
    "optimizer": "optimiser.name",
    "scheduler": "schedule.name",
    "warmup": "schedule.warmup_steps",
    "data": "data.train",
    "file": "data.train",
    "files": "data.train",
    "input": "data.train",
    "text": "data.train",
    "src": "data.train_source",
    "tgt": "data.train_target",
    "dev": "data.valid",
    "val": "data.valid",
    "tokenizer": "data.vocabulary",
    "vocab": "data.vocabulary",
    "vocab_size": "data.maximum_size",
    "min_freq": "data.minimum_count",
    "hidden": "model.hidden_size",
    "units": "model.hidden_size",
    "layers": "model.num_layers",
    "nlayers": "model.num_layers",
    "n_layers": "model.num_layers",
    "embedding": "model.embedding_size",
    "emsize": "model.embedding_size",
    "rnn_type": "model.cell",
    "tie_weights": "model.tied",
    "iterations": "training.steps",
    "max_steps": "training.steps",
    "max_iters": "training.steps",
    "max_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "time": "training.minutes",
    "clip": "training.clip_norm",
    "grad_clip": "training.clip_norm",
    "gpu": "training.device",
    "cuda": "training.device",
    "early_stopping": "training.patience",
    "checkpoint": "training.start_from",
    "output": "out",
    "output_dir": "out",
    "save": "out",
    "save_dir": "out",
    "beam": "beam-size",
    "num_samples": "n",
    "length": "max-length",
    "temp": "temperature",
    "force": "overwrite",
}
"""Other systems' names of options."""

VERBS = {
    "fit": "train",
    "eval": "evaluate",
    "test": "evaluate",
    "valid": "evaluate",
    "generate": "sample",
    "infer": "predict",
    "inference": "predict",
    "decode": "predict",
    "continue": "resume",
    "restart": "resume",
    "show": "inspect",
    "plot": "inspect",
    "visualise": "inspect",
    "visualize": "inspect",
    "benchmark": "bench",
    "sacrebleu": "bleu",
    "perplexity": "score",
}
"""Other systems' names of verbs."""


def option_hint(name: str, known: Iterable[str]) -> str:
    """The option that is probably meant, as " Did you mean --x?", or an empty string.

    Args:
        name: as typed, without its dashes.
        known: the options that there are.
    """
    known = list(known)
    plain = name.casefold().replace("-", "_").replace("optimizer.", "optimiser.")
    by_last = {option.rpartition(".")[2].replace("-", "_"): option for option in reversed(known)}
    last = plain.rpartition(".")[2]
    for candidate in (OPTIONS.get(plain), by_last.get(plain), OPTIONS.get(last), by_last.get(last)):
        if candidate in known:
            return f" Did you mean --{candidate}?"
    close = get_close_matches(plain, [*known, *by_last], n=1, cutoff=0.7)
    return f" Did you mean --{by_last.get(close[0], close[0])}?" if close else ""


def verb_hint(words: Sequence[str], known: Sequence[str]) -> str:
    """The command that is probably meant by words that are none, as " Did you mean `recurra x`?", or an empty string.

    Args:
        words: as typed, options left out.
        known: the commands that there are, such as `train lm`.
    """
    first = words[0].casefold()
    second = words[1].casefold() if len(words) > 1 else ""
    if first in TASKS and second in known:
        return f" Did you mean `recurra {second}`?"
    if f"{second} {first}" in known:
        return f" Did you mean `recurra {second} {first}`?"
    if first in TASKS:
        return f" `recurra train {first}` trains one, and `recurra predict RUN` uses it."
    meant = VERBS.get(first, first)
    of_two = [command for command in known if command.startswith(f"{meant} ")]
    if of_two:
        return (
            f" Did you mean `recurra {meant}`, followed by one of {', '.join(c.split()[1] for c in of_two)}?"
        )
    if meant in known:
        return f" Did you mean `recurra {meant}`?"
    found = nearest(first, [command.split()[0] for command in known]).partition("'")[2].rpartition("'")[0]
    return f" Did you mean `recurra {found}`?" if found else ""
