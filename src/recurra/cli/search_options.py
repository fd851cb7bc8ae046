"""The options of verbs that search for outputs, and what they make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from recurra.cli.options import Options
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.decode import BeamConfig

OF_ANY_SEARCH: dict[str, tuple[Any, str, str | None]] = {
    "min-length": (int | None, "the fewest symbols of an output, <eos> counted (default: 1)", "N"),
    "max-length": (int | None, "the most, <eos> counted (default: 1.5 times the source's, and 10)", "N"),
    "no-repeat-ngram": (int | None, "no N symbols occur twice in that order in an output", "N"),
}
OF_BEAMS: dict[str, tuple[Any, str, str | None]] = {
    "beam-size": (int | None, "how many hypotheses are gone on with at each step (default: 5)", "K"),
    "length-penalty": (
        float | None,
        "alpha: outputs are ranked by log P / length ** alpha, 0 to 1 (default: 0.7)",
        "ALPHA",
    ),
    "penalty": (Literal["power", "gnmt"] | None, "that, or GNMT's form of it (default: power)", "FORM"),
    "coverage-penalty": (float | None, "beta: GNMT's penalty for source symbols left out", "BETA"),
    "n-best": (int | None, "how many outputs per source, at most K (default: 1)", "N"),
}
"""By option: its type, its help and how its value is written. Each is a field of `BeamConfig`, whose default counts."""

SEARCH = (*OF_BEAMS, *OF_ANY_SEARCH, "greedy", "ensemble")


def add_beam(options: Options, *left_out: str) -> None:
    """Add the options of beam search, but for those left out."""
    options.group("how outputs are searched for")
    for name, (kind, help, metavar) in (OF_BEAMS | OF_ANY_SEARCH).items():
        if name not in left_out:
            options.add(name, kind, None, help, metavar)


def add_search(options: Options, *left_out: str) -> None:
    """Add the options of beam search, but for those left out, and `--greedy` and `--ensemble`."""
    add_beam(options, *left_out)
    options.flag("greedy", "take the most probable symbol at each step, without a beam")
    options.add(
        "ensemble", list[str], None, "further runs; their probabilities are averaged with RUN's", "RUN"
    )


def given_of(values: Namespace) -> dict[str, Any]:
    """The options of beam search that were given, by name."""
    given = {name: values.get(name.replace("-", "_")) for name in OF_BEAMS | OF_ANY_SEARCH}
    return {name: value for name, value in given.items() if value is not None}


def search_of(values: Namespace) -> BeamConfig:
    """What the options given say, the defaults filled in.

    Raises:
        ConfigError: a value is out of range, or belongs to beams while `--greedy` is given.
    """
    from recurra.decode import BeamConfig

    given = given_of(values)
    for name in OF_BEAMS:
        if values.get("greedy") and name in given:
            raise ConfigError(
                f"--{name}: changes nothing with --greedy, which keeps one hypothesis; drop one."
            )
    return BeamConfig(**{name.replace("-", "_"): value for name, value in given.items()})
