"""Every key of a configuration as an option."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from recurra.cli.options import Options
from recurra.settings import help_of


@dataclass(frozen=True)
class Inner:
    """One.

    Attributes:
        rate: how fast,
            in 5 % steps; None: not at all.
    """

    rate: float | None = None
    many: int | list[int] = 3
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Section:
    """Two.

    Args:
        files: what to read.
    """

    files: list[str] = field(default_factory=list)
    pair: tuple[float, float] = (0.5, 0.25)
    on: bool = False
    inner: Inner = field(default_factory=Inner)
    late: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "late", 7 if self.late is None and not self.on else self.late)


@dataclass(frozen=True)
class Longer(Section):
    """A section with the keys of another.

    Args:
        files: what to write.
        left, right: how far.
    """

    left: int = 1
    right: int = 1


@dataclass(frozen=True)
class Whole:
    part: Section = field(default_factory=Section)


def built(*arguments: str) -> Section:
    options = Options("test", "A test.", "")
    options.add_config(Whole, {"part": "A part."})
    return options.build(Whole, options.parse(arguments)).part


def test_values_take_the_types_of_their_keys(tmp_path):
    assert built() == Section()
    assert built("--part.files", "a", "[b]", "--part.on") == Section(files=["a", "[b]"], on=True)
    assert built("--part.pair", "[1, 2e-3]").pair == (1.0, 0.002)
    assert built("--part.inner.many", "[4, 5]").inner == Inner(many=[4, 5])
    assert built("--part.inner.rate=1e-3", "--part.inner.kind", "b").inner == Inner(rate=0.001, kind="b")
    assert built("--part.inner.rate", "null", "--part.on", "false") == Section()


def test_defaults_are_the_declared_ones_and_not_those_of_an_instance():
    assert built("--part.on", "true").late is None


def test_the_command_line_goes_before_the_file_and_the_file_before_the_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("part:\n  files: one\n  pair: [1, 2]\n  inner: {rate: 1e-2, many: 9}\n")
    assert built("--config", str(path)) == Section(["one"], (1.0, 2.0), inner=Inner(0.01, 9))
    both = built("--part.files", "two", "three", f"--config={path}", "--part.inner.rate", "2")
    assert both == Section(["two", "three"], (1.0, 2.0), inner=Inner(2.0, 9))
    path.write_text("")
    assert built("--config", str(path)) == Section()


def test_help_of_a_key_comes_from_the_docstring():
    assert help_of(Inner) == {"rate": "how fast, in 5 % steps; None: not at all"}
    assert help_of(Section) == {"files": "what to read"}
    assert help_of(Longer) == {"files": "what to write", "left": "how far", "right": "how far"}
