"""Training curves from few records, many records and incomplete ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.errors import DataError
from recurra.inspection.curves import plot_training, show_training
from recurra.inspection.figures import STEP


def record(step: int, **values: object) -> dict[str, object]:
    usual = {"train_loss": 2.0 + 1 / step, "valid_loss": 2.5 + 1 / step, "learning_rate": 1e-3 / step}
    rates = {"gradient_norm": 0.7, "clip_rate": 0.25, "tokens_per_second": 21_500.0}
    return {"step": step, "epoch": 1, **usual, **rates, **values}


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("steps", [[7], [1, 2], list(range(1, 200))])
def test_one_record_and_many_are_drawn(tmp_path: Path, steps: list[int], scale: str) -> None:
    shown = show_training([record(step) for step in steps], "a run", scale)  # type: ignore[arg-type]
    (path,) = shown.save(tmp_path / "plots" / "training.png")
    assert [one["step"] for one in shown.record["records"]] == steps
    assert path.read_bytes().startswith(b"\x89PNG")
    assert len(path.read_bytes()) > 10_000
    assert [each.name for each in path.parent.iterdir()] == ["training.png"]


def test_lines_hold_the_values_and_axes_their_units() -> None:
    records = [record(10, train_loss=None), record(20, valid_loss=float("nan")), record(30, clip_rate=0.5)]
    figure = plot_training(records)
    loss, *panels = figure.axes
    lines = {line.get_label(): line for line in loss.lines}
    assert lines["training"].get_xdata().tolist() == [20, 30]  # type: ignore[union-attr]
    assert lines["validation"].get_xdata().tolist() == [10, 30]  # type: ignore[union-attr]
    assert "nats per token" in loss.get_ylabel()
    assert loss.get_title(loc="right").startswith("lowest validation loss 2.5333 ")
    assert all(
        axes.get_xlabel() == STEP == "step (updates)" and "(" in axes.get_ylabel() for axes in figure.axes
    )
    clipped = next(axes for axes in panels if axes.get_title(loc="left") == "Clipped updates")
    assert clipped.lines[0].get_ydata().tolist() == [25.0, 25.0, 50.0]  # type: ignore[union-attr]


def test_training_is_drawn_from_its_own_lines() -> None:
    """A line of an evaluation tells of training since the evaluation before, so it would be a second average."""
    lines = [{**record(step), "seconds": 30.0 * step} for step in range(1, 6)]
    for line in lines:
        del line["valid_loss"]
    start = {"step": 0, "epoch": 0.0, "tokens": 0, "valid_loss": 4.5}
    records = [start, *lines, record(5, train_loss=9.0, gradient_norm=99.0, seconds=150.0, epoch=1.25)]
    figure = plot_training(records)
    loss, *panels = figure.axes
    drawn = {line.get_label(): line for line in loss.lines}
    assert drawn["training"].get_xdata().tolist() == [1, 2, 3, 4, 5]  # type: ignore[union-attr]
    assert max(drawn["training"].get_ydata()) == 3.0
    assert drawn["validation"].get_xdata().tolist() == [0, 5]  # type: ignore[union-attr]
    norm = next(axes for axes in panels if axes.get_title(loc="left").startswith("Gradient norm"))
    assert len(norm.lines[0].get_xdata()) == 5  # type: ignore[arg-type]
    assert any(text.get_text() == "5 updates, 1.25 epochs, 2.5 minutes" for text in figure.texts)


def test_what_no_record_holds_gets_no_panel() -> None:
    assert len(plot_training([{"step": 5, "valid_loss": 3.0}]).axes) == 1
    assert len(plot_training([{"step": 5, "valid_loss": 3.0, "learning_rate": 0.1}]).axes) == 2


@pytest.mark.parametrize("key", ["valid_perplexity", "valid_bits_per_character"])
def test_what_follows_from_the_loss_is_no_score(key: str) -> None:
    """Neither is in percent, and both fall where scores rise."""
    titles = [axes.get_title(loc="left") for axes in plot_training([record(10, **{key: 1.7})]).axes]
    assert titles == [axes.get_title(loc="left") for axes in plot_training([record(10)]).axes]
    assert "Validation scores" not in titles


def test_scores_have_a_panel_of_their_own() -> None:
    records = [
        record(10, valid_perplexity=9.0, valid_bleu=3.5),
        record(20, valid_bleu=None, valid_word_error_rate=120.0),
        record(30, valid_bleu=11.25),
    ]
    figure = plot_training(records)
    assert len(figure.axes) == 1 + len(plot_training([record(10, valid_perplexity=9.0)]).axes)
    scores = figure.axes[1]
    assert scores.get_title(loc="left") == "Validation scores"
    assert "%" in scores.get_ylabel()
    assert [line.get_label() for line in scores.lines] == ["BLEU, last 11.25", "word error rate, last 120.00"]
    assert [line.get_xdata().tolist() for line in scores.lines] == [[10, 30], [20]]  # type: ignore[union-attr]
    assert [line.get_ydata().tolist() for line in scores.lines] == [[3.5, 11.25], [120.0]]  # type: ignore[union-attr]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        plot_training([])
    with pytest.raises(DataError, match="line 2: expected a number under 'step', got None"):
        plot_training([record(1), {"valid_loss": 3.0}])


def test_the_callers_matplotlib_settings_are_left_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_training([record(1)])
    assert dict(matplotlib.rcParams) == before


def test_a_gradient_norm_has_no_unit_of_the_loss() -> None:
    labels = {axes.get_title(loc="left"): axes.get_ylabel() for axes in plot_training([record(1)]).axes}
    assert labels["Gradient norm before clipping"] == "L2 norm (per update)"
    assert labels["Loss"] == "loss (nats per token)"


def test_the_heading_says_which_run() -> None:
    assert plot_training([record(1)]).get_suptitle() == "Training curves"
    assert (
        plot_training([record(1)], title="runs/it: LSTM").get_suptitle() == "Training curves: runs/it: LSTM"
    )
