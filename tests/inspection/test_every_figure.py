"""Every figure that recurra draws, in hard cases, looked at as a reader would; and each check, made to fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import figure_checks
from figure_checks import faults
from recurra.cells import CELLS
from recurra.inspection.activations import Activations
from recurra.inspection.alignment import Alignment
from recurra.inspection.attention_picture import plot_attention
from recurra.inspection.beam_picture import plot_beam
from recurra.inspection.beam_tree import BeamTree, Node
from recurra.inspection.curves import plot_training
from recurra.inspection.figures import new_figure, style
from recurra.inspection.gates_picture import plot_gates
from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.gradient_pictures import plot_curves, plot_map
from recurra.inspection.gradients import measure
from recurra.inspection.label_fonts import label_fonts
from recurra.inspection.saturation import Saturation
from recurra.inspection.saturation_picture import plot_saturation
from recurra.inspection.score_by_length import ScoreByLength
from recurra.inspection.score_by_length_picture import plot_score_by_length
from recurra.inspection.search_errors import Comparison, SearchErrors
from recurra.inspection.search_errors_picture import plot_search_errors
from recurra.inspection.speed import Shape, Timing
from recurra.inspection.speed_picture import plot_speed
from recurra.layers.recurrent import Recurrent

LONG = "runs/a-folder-with-a-long-name/2026-01-31_translate_en-fr_lstm_2x1024_dropout-0.3_beam-12, " * 4
WORDS = ["the", "president", "arrives", "this", "evening", "incomprehensibilities", "<eos>"]
ARABIC = ["وصل", "الرئيس", "مساء", "اليوم", "إلى", "العاصمة", "<eos>"]
FRENCH = ["Où", "êtes-vous\u202f?", "«\u00a0ici\u00a0»", "<eos>"]
CHINESE = [*"我喜欢学习", "<eos>"]


def random(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


# -------------------------------------------------------------------- the figures


def training(
    steps: list[int], scores: int = 0, title: str = "", scale: str = "linear", gaps: bool = False
) -> Figure:
    records = []
    for place, step in enumerate(steps):
        record = {
            "step": step,
            "train_loss": float("nan") if gaps and place % 3 else 6.0 / (1 + place) + 0.3,
            "valid_loss": None if gaps and place % 2 else 5.0 / (1 + place) + 0.7,
            "learning_rate": 1e-3 / (1 + place),
            "gradient_norm": 10.0 ** (3 - place % 5),
            "clip_rate": 0.9 / (1 + place),
            "tokens_per_second": 21_500.0 + 100 * place,
        }
        names = ("valid_bleu", "valid_chrf", "valid_word_error_rate", "valid_exact_match")
        records.append(
            record
            | {
                f"{names[index % 4]}{'' if index < 4 else f'_{index}'}": 8.0 * index + place % 9
                for index in range(scores)
            }
        )
    return plot_training(records, scale, title)  # type: ignore[arg-type]


def attention(
    source: list[str], target: list[str], title: str = "runs/it: log P −3.25", unknown: int = 0
) -> Figure:
    weights = random().dirichlet(np.full(len(source), 0.3), len(target))
    alignment = Alignment(source, target, weights, frozenset(range(unknown)), title)
    return plot_attention(alignment, label_fonts([*alignment.labels[0], *alignment.labels[1]]))


def beam(
    steps: int, size: int, symbols: list[str], title: str = "runs/it", after: int = 0, pruned: int = 2
) -> Figure:
    """A search of which the last `after` steps lead to no end that counts."""
    draw = random(steps + size)
    nodes: list[Node] = []
    live: list[int | None] = [None]
    for length in range(1, steps + 1):
        following: list[int | None] = []
        for parent in live:
            for number in range(3):
                fate = "live" if len(following) < size and number < 2 else "pruned"
                log_prob = (nodes[parent].log_prob if parent is not None else 0.0) - draw.exponential(
                    0.9
                ) * 10
                label = symbols[int(draw.integers(len(symbols)))]
                nodes.append(Node(length, parent, label, log_prob, log_prob / length, fate))  # type: ignore[arg-type]
                if fate == "live":
                    following.append(len(nodes) - 1)
            if steps - after - 3 <= length <= steps - after and parent is not None:
                end = nodes[parent].log_prob - 1
                nodes.append(Node(length, parent, "<eos>", end, end / length, "finished"))
        live = following
    tree = BeamTree(nodes, size, title)
    return plot_beam(tree, label_fonts([node.label for node in nodes]), pruned)


def gates(symbols: list[str], units: int, low: float = -1.0, title: str = "layer 1: c") -> Figure:
    values = random().uniform(low, 1, (len(symbols), 6))
    return plot_gates(Activations(symbols, values, low=low, title=title, cell="LSTM, 6 units"), units)


def flows(
    layers: int, bidirectional: bool = False, probes: int | None = None, steps: int = 40
) -> list[GradientFlow]:
    torch.manual_seed(4)
    rnn = Recurrent(CELLS["gru"], 3, 5, layers, bidirectional=bidirectional)
    return measure(rnn, torch.randn(2, steps, 3), probes=probes)


def saturated(layers: int) -> Figure:
    draw = random()
    entries = [
        Saturation(
            layer, direction, gate, "sigmoid", *(draw.uniform(0, 0.5, 2) * (layer > 0)), part="decoder"
        )
        for layer in range(layers)
        for direction in ("forward", "backward")
        for gate in ("update", "forget", "candidate", "output")
    ]
    return plot_saturation(entries, "" if layers == 1 else LONG, "LSTM, 64 units; 200 steps")


def searched(sizes: list[int], title: str = "") -> Figure:
    errors = []
    for size in sizes:
        scores = random(size).uniform(-3, 0, (40, 2))
        comparisons = [Comparison("s", "o", "r", one, two, bool(one > -0.2)) for one, two in scores.tolist()]
        errors.append(SearchErrors(size, comparisons, "word_error_rate", 101.25))
    return plot_search_errors(errors, title)


def by_length(runs: int, ranges: int, title: str = "", metric: str = "bleu") -> Figure:
    bounds = [(1 + 2 * place, 2 + 2 * place) for place in range(ranges - 1)] + [(2 * ranges, 90)]
    draw = random(runs)
    scores = {
        f"run {number} with {'luong ' * (number % 5)}": draw.uniform(80, 100, ranges).tolist()
        for number in range(runs)
    }
    counts = draw.integers(1, 40_000, ranges).tolist()
    means = [(low + high) / 2 for low, high in bounds]
    return plot_score_by_length(
        ScoreByLength(metric, True, "characters", bounds, counts, means, scores), title
    )


def speeds(cells: list[str], shapes: int, title: str) -> Figure:
    draw, timings = random(), []
    for cell in cells:
        for number in range(shapes):
            peers = ("torch", "generated ragged", "torch packed") if cell == "lstm" else ("loop", "reference")
            seconds = {name: float(draw.uniform(1, 60)) for name in peers} | {"generated": 1.0}
            timings.append(Timing(cell, Shape(20 + number, 20, 200), seconds, 30.0))
    return plot_speed(timings, title)


FIGURES: dict[str, Callable[[], Figure]] = {
    "training, one record": lambda: training([7]),
    "training, many steps": lambda: training(list(range(1_000, 2_500_000, 50_000)), 3, LONG, "log"),
    "training, twelve scores": lambda: training(list(range(10, 900, 10)), 12, "runs/it: LSTM, 2 × 512 units"),
    "training, gaps": lambda: training([10, 20, 30, 40, 5_000], 1, gaps=True),
    "attention, words": lambda: attention(WORDS, WORDS[::-1]),
    "attention, unknown characters": lambda: attention([*"incomprehensible", "<eos>"], [*"abc"], LONG, 2),
    "attention, one symbol": lambda: attention(["a"], ["incomprehensibilities"], ""),
    "attention, 120 characters": lambda: attention(list("abcdefghij" * 12), list("abcdefghij" * 12)),
    "attention, 120 words": lambda: attention(WORDS * 20, WORDS * 3),
    "attention, Arabic": lambda: attention(ARABIC, WORDS),
    "attention, Chinese": lambda: attention(CHINESE, ["▁I", "▁like", "▁learn", "ing", "<eos>"]),
    "attention, French": lambda: attention(FRENCH, WORDS),
    "beam, one step": lambda: beam(1, 1, ["a"]),
    "beam, words": lambda: beam(8, 3, WORDS[:-1]),
    "beam, long search": lambda: beam(40, 5, list("abcdefgh"), LONG, after=6),
    "beam, very long search": lambda: beam(150, 2, WORDS[:-1], pruned=0),
    "beam, Arabic": lambda: beam(6, 2, [*ARABIC[:-1], "a\u202fb", "incomprehensibilities" * 3]),
    "gates, characters": lambda: gates([*list("the cat sat\non the mat" * 9), "\\u202f"], 3, 0.0),
    "gates, words": lambda: gates(WORDS * 400, 2, title=LONG),
    "gates, one symbol": lambda: gates(["漢"], 1),
    "gradient map, one layer": lambda: plot_map(flows(1), "gru"),
    "gradient map, four layers": lambda: plot_map(flows(4, True), LONG),
    "gradient map, two steps": lambda: plot_map(flows(1, steps=2)),
    "gradient curves, one layer": lambda: plot_curves(flows(1, probes=2), "gru"),
    "gradient curves, four layers": lambda: plot_curves(flows(4, True), LONG),
    "gradient curves, two steps": lambda: plot_curves(flows(1, steps=2)),
    "saturation, one layer": lambda: saturated(1),
    "saturation, four layers": lambda: saturated(4),
    "search errors, one size": lambda: searched([1]),
    "search errors, six sizes": lambda: searched([1, 2, 5, 10, 20, 100], LONG),
    "score by length, one run and range": lambda: by_length(1, 1, metric="word_error_rate"),
    "score by length, twelve runs": lambda: by_length(12, 12, LONG),
    "speed, one cell": lambda: speeds(["gru"], 1, "a processor, 1 threads"),
    "speed, six cells": lambda: speeds(["lstm", *"abcde"], 6, LONG),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_can_be_read(name: str) -> None:
    assert faults(FIGURES[name]()) == []


# -------------------------------------------------------------------- the checks themselves


def good() -> Figure:
    """A small figure without a fault."""
    with style():
        figure = new_figure(5, 3, "Speed of a cell")
        axes = figure.add_subplot()
        axes.plot([1, 2, 3], [2.0, 3.0, 9.0], label="lstm")
        axes.set(xlabel="step (updates)", ylabel="speed (tokens per second)")
        return figure


def test_a_good_figure_has_no_fault() -> None:
    assert faults(good()) == []


@pytest.mark.parametrize("angle", [0, 55, 90])
def test_overlapping_texts_are_found(angle: int) -> None:
    figure = good()
    figure.axes[0].text(1.2, 6.0, "one label", rotation=angle)
    assert faults(figure, figure_checks.overlapping_texts) == []
    figure.axes[0].text(1.25, 6.1, "another", rotation=angle)
    assert faults(figure, figure_checks.overlapping_texts) == ["'one label' overlaps 'another'"]


def test_slanted_texts_side_by_side_do_not_overlap_though_their_frames_do() -> None:
    figure = good()
    for place in (1.0, 1.2):
        figure.axes[0].text(place, 4.0, "a long label", rotation=55, rotation_mode="anchor")
    assert faults(figure, figure_checks.overlapping_texts) == []


def test_a_text_that_leaves_the_figure_is_found() -> None:
    figure = good()
    figure.text(0.9, 0.5, "longer than there is room")
    assert len(faults(figure, figure_checks.texts_outside)) == 1


@pytest.mark.parametrize("kind", ["line", "bar", "point", "surface", "below"])
def test_a_legend_over_data_is_found(kind: str) -> None:
    with style():
        figure = new_figure(5, 3, "Speed of a cell")
        axes = figure.add_subplot()
        if kind == "line":
            axes.plot([0, 1], [0, 1], label="lstm")
        elif kind == "bar":
            axes.bar([0, 1], [5, 5], label="lstm")
        elif kind == "surface":
            axes.pcolormesh(np.ones((2, 2)))
            axes.plot([], [], label="lstm")
        else:
            axes.scatter([0, 1], [0, 1], label="lstm")
        (figure.legend if kind == "below" else axes.legend)(
            loc="outside lower left" if kind == "below" else "upper right"
        )
    assert bool(faults(figure, figure_checks.covered_data)) == (kind != "below")


@pytest.mark.parametrize(("text", "size"), [("small", 7.5), ("$a_t$", 9.0), ("large", 8.0)])
def test_small_texts_are_found(text: str, size: float) -> None:
    figure = good()
    figure.axes[0].text(1.5, 6, text, fontsize=size)
    assert bool(faults(figure, figure_checks.small_texts)) == (text != "large")


def test_a_wide_figure_is_found() -> None:
    figure = good()
    figure.set_size_inches(11, 3)
    assert faults(figure, figure_checks.too_wide) == ["1650 pixels wide"]


@pytest.mark.parametrize("label", ["", "loss"])
def test_axes_without_label_or_unit_are_found(label: str) -> None:
    figure = good()
    figure.axes[0].set_ylabel(label)
    assert len(faults(figure, figure_checks.unnamed_axes)) == 1
    figure.axes[0].set_yticks([2, 3], ["two", "three"])
    assert len(faults(figure, figure_checks.unnamed_axes)) == (not label)


def test_a_figure_without_heading_is_found() -> None:
    assert faults(new_figure(3, 2), figure_checks.missing_heading) == ["no heading"]
