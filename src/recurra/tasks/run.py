"""Run: a trained model in use, of any task. It evaluates, predicts, samples, and shows what is inside it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from recurra.data.dataset import Dataset
from recurra.data.vocabularies import Vocabularies
from recurra.decode.decoding import Decoding
from recurra.decode.sample_options import SampleOptions
from recurra.decode.sampling import Drawn, Sample, draw, sample
from recurra.errors import ConfigError, RunError, nearest, quoted
from recurra.inspection.shown import Shown
from recurra.metrics.evaluation import Evaluation
from recurra.metrics.records import evaluations
from recurra.tasks.common_views import COMMON_VIEWS
from recurra.tasks.ensemble import EnsembleModel
from recurra.tasks.given import files_by_key, lines
from recurra.tasks.opened import OpenedRun
from recurra.tasks.prediction import Prediction
from recurra.tasks.registry import TASKS
from recurra.tasks.task import AnyTask, View
from recurra.training.result import Result
from recurra.training.run_directory import RunDirectory

Options = TypeVar("Options")


class Run:
    """A run, opened by `recurra.load` or returned by `recurra.train` and `recurra.resume`.

        run = recurra.load("runs/poems")
        print(run.sample("The ", max_length=80)[0])
        print(run.evaluate().scores["perplexity"])

    What gives several things gives a list; `iter_predict`, `iter_samples` and `iter_pieces` give them one by one.

    Attributes:
        opened: its task, directory, record and configuration.
        model: in evaluation mode, with the weights to use.
        result: what training came to, where it was just trained.
    """

    def __init__(
        self,
        opened: OpenedRun,
        model: nn.Module,
        data: Dataset[Any] | None = None,
        result: Result | None = None,
    ) -> None:
        self.opened = opened
        self.model = model
        self.result = result
        self._data = data

    # --- what it is -------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """What it is a run of, where, with which model, and how far it was trained."""
        cell = getattr(self.config.model, "cell", None) if "cell" in self.opened.record else None
        kind = type(self.model).__name__ + ("" if cell is None else f" of {cell} cells")
        count = sum(one.numel() for one in self.model.parameters())
        lines = [
            f"Run({str(self.path)!r}): {TASKS[self.task.name].noun}",
            f"{kind}, {count:,} parameters on {self.device}; {', '.join(self.vocabularies.sizes())}",
            self._progress(),
        ]
        return "\n  ".join(filter(None, lines))

    def _progress(self) -> str:
        """The best of its evaluations; empty where there is none, or the run has been moved since."""
        try:
            losses = [(row["valid_loss"], row["step"]) for row in evaluations(self.directory.metrics())]
            loss, step = min(losses)
            return f"lowest validation loss {loss:.4g} at step {step} of {losses[-1][1]}"
        except (RunError, OSError, KeyError, TypeError, ValueError):
            return ""  # what has no evaluations is a run nonetheless, and can be shown

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            verbs = {"translate", "generate", *(verb for entry in TASKS.values() for verb in entry.verbs)}
            hint = "; use run.predict(lines)" if name in verbs else ""
            raise AttributeError(f"a Run has no {name!r}{hint}", name=name, obj=self)

    @property
    def task(self) -> AnyTask:
        """What it is a run of."""
        return self.opened.task

    @property
    def directory(self) -> RunDirectory:
        """What it is on disk."""
        return self.opened.directory

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.opened.path

    @property
    def config(self) -> Any:
        """Its configuration: `run.config.model.hidden_size`."""
        return self.opened.config

    @property
    def vocabularies(self) -> Vocabularies:
        """What the model was given of the data, by name."""
        return self.opened.vocabularies if self._data is None else self._data.vocabularies

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    # --- data -------------------------------------------------------------------------------------

    @property
    def data(self) -> Dataset[Any]:
        """The data that its configuration names, read when they are first asked for.

        Raises:
            DataError: a file cannot be used.
        """
        if self._data is None:
            self._data = self.task.load_data(self.config, self.opened.vocabularies)
        return self._data

    def split(self, files: Mapping[str, Sequence[str]] | None = None) -> Any:
        """The split that the given files hold, or else the configured test data, or else the validation data.

        Args:
            files: by the name of their key in `config.data`: `{"test": ["test.txt"]}`.

        Raises:
            DataError: a file cannot be used.
        """
        given = files_by_key(files, [key.removeprefix("data.") for key in self.task.keys_to_score])
        if given:
            return self.task.read(given, self.config, self.vocabularies)
        return self.data.valid if self.data.test is None else self.data.test

    # --- use --------------------------------------------------------------------------------------

    def evaluate(
        self, files: Mapping[str, Sequence[str]] | None = None, options: Any = None, **changes: Any
    ) -> Evaluation:
        """The loss and scores on the given files, or else on the test data, or else on the validation data.

            run.evaluate({"test": ["test.tsv"]}, beam_size=10)

        Args:
            files: by the name of their key in `config.data`.
            options: of the task's `evaluate_options`; None for the defaults.
            changes: options by name, instead of those.

        Raises:
            DataError: a file cannot be used.
            ConfigError: an option is unknown, out of range, or nothing for this model.
        """
        chosen = self._options(self.task.evaluate_options, options, changes)
        with torch.no_grad():
            return self.task.evaluate(self.model, self.split(files), self.config, self.vocabularies, chosen)

    @property
    def reads_bytes(self) -> bool:
        """Whether its records are bytes, taken as they are, and not text."""
        return self.task.reads_bytes(self.vocabularies)

    def predict(
        self, records: Iterable[str | bytes], options: Any = None, **changes: Any
    ) -> list[Prediction]:
        """What the model says of each record, in their order.

            for prediction in run.predict(["a line", "another"]):
                print(prediction.line())

        Args:
            records: lines of text, or bytes where `reads_bytes`, such as a list or an opened file; a line end at
                their end does not count.
            options: of the task's `predict_options`; None for the defaults.
            changes: options by name, instead of those.

        Raises:
            ConfigError: the records are not lines; an option is unknown, out of range, or nothing for this model.
        """
        return list(self.iter_predict(records, options, **changes))

    def iter_predict(
        self, records: Iterable[str | bytes], options: Any = None, **changes: Any
    ) -> Iterator[Prediction]:
        """What `predict` gives, one by one; the records are read some hundred at a time, so they may be endless."""
        chosen = self._options(self.task.predict_options, options, changes)
        return self._predict(lines(records, self.reads_bytes), chosen)

    def _predict(self, records: Iterator[str | bytes], options: Any) -> Iterator[Prediction]:
        while group := list(itertools.islice(records, self.task.records_at_once)):
            yield from self.task.predict(self.model, group, self.config, self.vocabularies, options)

    def check(self, options: Any) -> None:
        """Refuse options of `evaluate` or `predict` that this model has no use for.

        Raises:
            ConfigError: naming the option and the remedy.
        """
        self.task.check(self.model, self.config, self.vocabularies, options)

    def _options(self, kind: type[Options], options: Options | None, changes: Mapping[str, Any]) -> Options:
        chosen = changed(options_of(kind, options), changes)
        self.check(chosen)
        return chosen

    def with_ensemble(self, others: Sequence[Run]) -> Run:
        """This run with the mean of its probabilities and those of others in the place of its own.

        The loss that it evaluates to stays that of its own model.

        Raises:
            ConfigError: runs of this task make no ensembles.
            RunError: another run is of another task, or has other vocabularies.
        """
        if not self.task.makes_ensembles:
            raise ConfigError(
                f"ensemble: {self.path} is {TASKS[self.task.name].noun}, which makes no ensembles; leave it out."
            )
        if isinstance(others, str | Run) or not isinstance(others, Iterable):
            raise ConfigError(f"others: expected a list of runs, got {_brief(others)}; write [run].")
        others = list(others)
        for other in others:
            if not isinstance(other, Run):
                raise ConfigError(f"others: expected runs, got {_brief(other)}; open it with recurra.load.")
            if other.task.name != self.task.name or other.vocabularies.digest != self.vocabularies.digest:
                raise RunError(
                    f"{other.path}: has other vocabularies than {self.path}; an ensemble takes runs that were "
                    "trained on the same files with the same data.* keys."
                )
        models = EnsembleModel([self.model, *(other.model for other in others)])
        return Run(self.opened, models, self._data)

    # --- sampling ---------------------------------------------------------------------------------

    def sample(
        self, prompt: str | None = None, options: SampleOptions | None = None, **changes: Any
    ) -> list[str]:
        """Texts drawn from the model.

            run.sample("The ", n=3, max_length=80, temperature=0.7, seed=1)

        Args:
            prompt: what the model is given: the beginning of a text, which the samples then begin with, or a source.
            options: how symbols are drawn; None for the defaults.
            changes: options by name, instead of those.

        Raises:
            ConfigError: an option is out of range, or the model does not decode.
        """
        given = changes if prompt is None else {"prompt": prompt, **changes}
        chosen = changed(options_of(SampleOptions, options), given)
        return [text for _, text in self.iter_samples(chosen)]

    def iter_samples(self, options: SampleOptions, stepper: Any = None) -> Iterator[tuple[Sample, str]]:
        """Samples one by one as they are drawn, each with its text.

        Args:
            options: how symbols are drawn, and the prompt.
            stepper: of `stepper`, where several prompts are sampled from.
        """
        decoding = self.decoding(options)
        stepper = self.stepper(decoding, options) if stepper is None else stepper
        for one in sample(
            stepper,
            options.sampling(),
            options.n,
            prompt=decoding.prompt,
            stop=decoding.stop,
            forbid=decoding.forbid,
        ):
            yield one, decoding.text(one.ids)

    def iter_pieces(self, options: SampleOptions, stepper: Any = None) -> Iterator[str]:
        """The text of one sample piece by piece as it is drawn."""
        decoding = self.decoding(options)
        stepper = self.stepper(decoding, options) if stepper is None else stepper
        shown, drawn, text = 0, [], ""
        steps: Iterator[Drawn] = draw(
            stepper, options.sampling(), prompt=decoding.prompt, stop=decoding.stop, forbid=decoding.forbid
        )
        for step in steps:
            drawn.append(step.symbols[0])
            # A character of several bytes stands as U+FFFD at the end until its last byte is drawn.
            text = decoding.text(torch.stack(drawn))
            whole = text.rstrip("\ufffd")
            yield whole[shown:]
            shown = max(shown, len(whole))
        yield text[shown:]

    def decoding(self, options: SampleOptions, prompt: str | bytes | None = None) -> Decoding:
        """What sampling needs of the prompt.

        Args:
            options: with its prompt.
            prompt: in the place of that one; bytes where `reads_bytes`.

        Raises:
            ConfigError: the model does not decode.
        """
        record = (options.prompt or "") if prompt is None else prompt
        return self.task.decoding(record, self.config, self.vocabularies, options)

    def stepper(self, decoding: Decoding, options: SampleOptions) -> Any:
        """The model bound to a prompt, its weights held as the options say."""
        batch = decoding.batch.to(self.device)
        if options.weights is None:
            return self.model.stepper(batch)  # type: ignore[operator]
        return self.model.stepper(batch, options.weights)  # type: ignore[operator]

    # --- looking inside ---------------------------------------------------------------------------

    @property
    def all_views(self) -> dict[str, View]:
        """The ways of looking into it, by name: those of every task, and those of its own."""
        return {**COMMON_VIEWS, **self.task.views()}

    def views(self) -> dict[str, Callable[..., Shown]]:
        """Functions of options by name, each of which shows something of it.

        run.views()["attention"](source="recurrent").save("attention.png")
        """
        return {name: partial(self._show, view) for name, view in self.all_views.items()}

    def _show(self, view: View, *others: Run, **options: Any) -> Shown:
        chosen = changed(view.options(), options)
        if not view.several:
            if others:
                raise ConfigError(
                    f"expected options by name only, as this view is of one run; got {_brief(others[0])}."
                )
            return view.show(self, chosen)
        for other in others:
            if not isinstance(other, Run):
                raise ConfigError(f"expected runs, and options by name, got {_brief(other)}.")
        return view.show(self, chosen, others)


def options_of(kind: type[Options], options: Options | None) -> Options:
    """The options, or the defaults.

    Raises:
        ConfigError: they are of another class.
    """
    if options is not None and not isinstance(options, kind):
        raise ConfigError(
            f"options: expected {kind.__name__}, got {quoted(options)}; options can also be given by name."
        )
    return kind() if options is None else options


def _brief(value: Any) -> str:
    """A value in a message: a run by its path."""
    return f"the run {value.path}" if isinstance(value, Run) else quoted(value)


def changed(options: Options, changes: Mapping[str, Any]) -> Options:
    """Options with some of them replaced.

    Raises:
        ConfigError: one is unknown, or out of range.
    """
    known = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise ConfigError(
                f"{name}: no such option; expected one of {', '.join(known) or 'none'}.{nearest(name, known)}"
            )
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]
