"""`recurra inspect attention`, `beam`, `errors` and `lengths`: what a translator looks at, finds and misses."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.cli.options import Options, check_text
from recurra.cli.run_options import add_cell, load_others, load_run, named_test_files, own_cell
from recurra.cli.search_options import add_beam, given_of, search_of
from recurra.cli.tables import print_json, print_table
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.inspection.search_errors import Kind, SearchErrors
    from recurra.tasks.translation_errors import Sentence
    from recurra.tasks.translation_run import TranslationRun

KINDS_OF_ERROR: tuple[Kind, ...] = ("model", "search")


def attention(arguments: list[str]) -> None:
    """Draw what each symbol of a translation is predicted from."""
    options = Options(
        "inspect attention",
        "Draw the attention with which a source is translated, or a given target would be, as Bahdanau, Cho & "
        "Bengio 2015 do in figure 3: a picture (PNG), and beside it a page (HTML) that shows any script.",
        'RUN --source "TEXT" [--target "TEXT"] [options]',
    )
    options.positional("run", "the run's folder")
    options.group("what is drawn")
    options.add("source", str, None, "the text to translate", "TEXT")
    options.add("target", str, None, "its translation; without it, the best one that is found", "TEXT")
    options.add(
        "out", str, None, "the picture's file, .png; without it, attention.png in the run's plots", "FILE.png"
    )
    add_beam(options, "n-best")
    add_cell(options)
    values = options.parse(arguments)
    source, file = _source(values), _picture(values, values.run, "attention")
    target = None if values.target is None else check_text("--target", values.target)
    if target is not None and (given := given_of(values)):
        raise ConfigError(f"--{next(iter(given))}: a given --target is not searched for; drop one.")
    config = search_of(values)
    run: TranslationRun = load_run(values, "translate")

    from recurra.inspection.attention_picture import save_attention
    from recurra.tasks.translation_looks import align

    alignment = align(run, source, target, config)
    files, note = save_attention(alignment, file)
    _say(note)
    for each in files:
        print(each)


def beam(arguments: list[str]) -> None:
    """Draw a search as a tree, and print what it found."""
    options = Options(
        "inspect beam",
        "Draw the beam search for a source: a column per step, the hypotheses that lived, those that ended, and "
        "the best that were given up. Prints what was found, best first.",
        'RUN --source "TEXT" [--beam-size K] [options]',
    )
    options.positional("run", "the run's folder")
    options.group("what is drawn")
    options.add("source", str, None, "the text to translate", "TEXT")
    options.add("given-up", int, 2, "how many candidates that did not live each column shows", "N")
    options.add(
        "out", str, None, "the picture's file, .png; without it, beam.png in the run's plots", "FILE.png"
    )
    add_beam(options, "n-best")
    add_cell(options)
    values = options.parse(arguments)
    source, file = _source(values), _picture(values, values.run, "beam")
    config = search_of(values)
    config = dataclasses.replace(config, n_best=config.beam_size)
    run: TranslationRun = load_run(values, "translate")

    from recurra.inspection.beam_picture import save_beam
    from recurra.tasks.translation_looks import grow

    tree, found = grow(run, source, config)
    path, note = save_beam(tree, file, values.given_up)
    _say(note)
    _say(f"wrote {path}")
    rows = [
        (
            number,
            one.score,
            one.log_prob,
            len(one.ids),
            run.vocabularies.decode_target(one.ids.numpy()) + ("" if one.finished else " (unfinished)"),
        )
        for number, one in enumerate(found, start=1)
    ]
    print_table(("place", "score", "log P", "symbols", "output"), rows)


def errors(arguments: list[str]) -> None:
    """Count errors of the model and of the search by beam size; a picture, a table and examples."""
    options = Options(
        "inspect errors",
        "For each output that differs from its references: does the model score a reference higher, so that the "
        "search missed it, or its own output? Counted by beam size over the test pairs, or else the validation "
        "pairs.",
        "RUN [--beam-sizes K ...] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is searched")
    options.add("beam-sizes", list[str], None, "how wide to search; without it 1 2 5 10", "K")
    _add_pairs(options)
    add_beam(options, "beam-size", "coverage-penalty", "n-best")
    options.group("what is shown")
    options.add("examples", int, 3, "how many outputs of each kind of error are printed", "N")
    options.add(
        "out", str, None, "the picture's file; without it, search_errors.png in the run's plots", "FILE.png"
    )
    options.flag("json", "print JSON, an object per beam size")
    add_cell(options)
    values = options.parse(arguments)
    sizes, file = _sizes(values.beam_sizes), _picture(values, values.run, "search_errors")
    if values.examples < 0:
        raise ConfigError(f"--examples: expected at least 0, got {values.examples}.")
    run: TranslationRun = load_run(values, "translate")

    from recurra.inspection.search_errors import save_search_errors
    from recurra.tasks.translation_errors import search_errors

    found = search_errors(run, _sentences(run, values), sizes, search_of(values))
    _say(f"wrote {save_search_errors(found, file, run.path.name)}")
    if values.json:
        for one in found:
            print_json(_record(one, values.examples))
        return
    _print_errors(found, values.examples)


def lengths(arguments: list[str]) -> None:
    """Draw and print the score of one or more runs by the length of the source."""
    options = Options(
        "inspect lengths",
        "Score the outputs of one or more runs by the length of the source, with and without attention for "
        "example, as Bahdanau, Cho & Bengio 2015 do in figure 2: over the test pairs, or else the validation pairs, "
        "by the first run's first metric.",
        "RUN... [--labels NAME ...] [options]",
    )
    options.positional("run", "the runs' folders", several=True)
    options.group("what is drawn")
    options.add("labels", list[str], None, "a name for each run; without it, those of their folders", "NAME")
    options.add("ranges", int, 8, "into how many ranges of about as many sentences lengths are cut", "N")
    options.add(
        "out", str, None, "the picture's file; without it, lengths.png in the first run's plots", "FILE.png"
    )
    _add_pairs(options)
    add_beam(options, "n-best")
    add_cell(options)
    values = options.parse(arguments)
    names, file = _labels(values), _picture(values, values.run[0], "lengths")

    from recurra.inspection.score_by_length import save_score_by_length
    from recurra.tasks.translation_errors import score_by_length

    config = search_of(values)
    opened = load_others(values.run, "translate", own_cell(values.model.cell))
    runs: dict[str, TranslationRun] = dict(zip(names, opened, strict=True))
    scores = score_by_length(runs, [_sentences(run, values) for run in runs.values()], config, values.ranges)
    _say(f"wrote {save_score_by_length(scores, file)}")
    rows = [
        (
            f"{low}-{high}" if low < high else str(low),
            count,
            *(values[index] for values in scores.scores.values()),
        )
        for index, ((low, high), count) in enumerate(zip(scores.ranges, scores.counts, strict=True))
    ]
    print_table((f"source length ({scores.unit})", "sentences", *scores.scores), rows)
    print(f"{scores.metric}, {'higher' if scores.higher_is_better else 'lower'} is better")


# -------------------------------------------------------------------- options


def _add_pairs(options: Options) -> None:
    options.group("the pairs")
    options.add("data.test", list[str], None, "tab-separated files to take them from instead", "FILE")
    options.add("data.test_source", list[str], None, "parallel files to take them from instead", "FILE")
    options.add("data.test_target", list[str], None, "and their targets", "FILE")
    options.add("sentences", int | None, None, "how many sources, the first ones; without it all", "N")


def _source(values: Namespace) -> str:
    if values.source is None:
        raise ConfigError("--source: expected a text to translate, got none; add --source TEXT.")
    return check_text("--source", values.source)


def _picture(values: Namespace, run: str, name: str) -> Path:
    """The file for a picture: that of `--out`, or one in the run's plots."""
    path = Path(values.out or Path(run) / "plots" / f"{name}.png")
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--out: expected a file that ends in .png, got {values.out!r}.")
    return path


def _sizes(texts: Sequence[str] | None) -> list[int]:
    """The beam sizes asked for, each once, rising."""
    sizes = texts or ["1", "2", "5", "10"]
    if not all(text.isdecimal() and int(text) for text in sizes):
        raise ConfigError(f"--beam-sizes: expected whole numbers above 0, got {' '.join(sizes)}.")
    return sorted({int(text) for text in sizes})


def _labels(values: Namespace) -> list[str]:
    names = values.labels or [Path(path).resolve().name for path in values.run]
    if len(names) != len(values.run) or len(set(names)) != len(names):
        raise ConfigError(
            f"--labels: expected {len(values.run)} different ones, one for each run, got {', '.join(names)}."
        )
    return [check_text("--labels", name) for name in names]


def _sentences(run: TranslationRun, values: Namespace) -> list[Sentence]:
    from recurra.tasks.translation_errors import sentences_of

    return sentences_of(run.pairs(*named_test_files(values)), values.sentences)


# -------------------------------------------------------------------- output


def _print_errors(found: Sequence[SearchErrors], examples: int) -> None:
    rows = [
        (one.beam_size, *(_with_share(one, kind) for kind in ("equal", "model", "search")), one.score)
        for one in found
    ]
    print_table(("beam size", "equal", "model errors", "search errors", found[0].metric), rows)
    for kind in KINDS_OF_ERROR:
        for one in [one for one in found if one.count(kind)][-1:]:  # of the widest beam that has any
            for example in one.examples(kind, examples):
                print(f"\n{kind} error, beam size {one.beam_size}")
                print(f"{'source':>19}  {example.source}")
                print(f"{example.output_score:8.4f}  {'output':>9}  {example.output}")
                print(f"{example.reference_score:8.4f}  reference  {example.reference}")


def _with_share(errors: SearchErrors, kind: Kind) -> str:
    count = errors.count(kind)
    return f"{count:,} ({100 * count / len(errors.comparisons):.1f} %)"


def _record(errors: SearchErrors, examples: int) -> dict[str, Any]:
    counts = {f"{kind}_errors": errors.count(kind) for kind in KINDS_OF_ERROR}
    shown = {
        f"{kind}_examples": [dataclasses.asdict(one) for one in errors.examples(kind, examples)]
        for kind in KINDS_OF_ERROR
    }
    return {
        "beam_size": errors.beam_size,
        "sentences": len(errors.comparisons),
        "equal": errors.count("equal"),
        **counts,
        errors.metric: errors.score,
        **shown,
    }


def _say(note: str) -> None:
    if note:
        print(f"recurra: {note}", file=sys.stderr)
