"""One step at a time, batch 1, one thread, no gradients: `rnn.streaming()` against `nn.LSTMCell` and `nn.LSTM`.

    python benchmarks/streaming.py [--repeats 40] [--run RUN]

I = H. Each is called over and over for 10 ms, in turn with the others in one process; what is compared is the median
of the means. With `--run` and `--text`, also the change in that language model's loss by weights in fewer bits, over
the first `--symbols` symbols of the text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import recurra
from recurra import Batch, Recurrent
from recurra.cells import CELLS
from recurra.data.text import read_text
from recurra.engine.rounding import WEIGHTS
from recurra.inspection.machine import describe

HIDDEN = (64, 128, 256, 512)
SECONDS_IN_A_ROW = 0.01


def contenders(hidden: int, rows: int) -> dict[str, Callable[[], object]]:
    x = torch.randn(rows, hidden)
    states = (torch.zeros(rows, hidden), torch.zeros(rows, hidden))
    cell, module = nn.LSTMCell(hidden, hidden), nn.LSTM(hidden, hidden, batch_first=True)
    packed = (states[0][None], states[1][None])
    found: dict[str, Callable[[], object]] = {
        "nn.LSTMCell": lambda: cell(x, states),
        "nn.LSTM": lambda: module(x[:, None], packed),
    }
    for name in ("lstm", "gru", "peephole_lstm", "layer_norm_lstm"):
        rnn = Recurrent(CELLS[name], hidden, hidden).eval()
        for weights in WEIGHTS if name == "lstm" else WEIGHTS[:1]:
            streaming = rnn.streaming(weights)
            _, state = streaming.step(x)
            found[f"{name} {weights}"] = lambda streaming=streaming, state=state: streaming.step(x, state)
    return found


def medians(steps: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Microseconds a step."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(repeats + 2):
        for name, step in steps.items():
            calls, began = 0, time.perf_counter()
            while (seconds := time.perf_counter() - began) < SECONDS_IN_A_ROW:
                step()
                calls += 1
            if number >= 2:
                times[name].append(seconds / calls)
    return {name: 1e6 * statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def losses(folder: str, text: str, symbols: int) -> dict[str, float]:
    """Nats per symbol by how the weights are held, symbol by symbol from the zero state."""
    run = recurra.load(folder)
    ids = run.vocabularies["text"].encode_line(text)[:symbols]
    found = {}
    for weights in WEIGHTS:
        stepper = run.model.stepper(Batch.of_rows(1), weights)
        step, total = stepper.start(), 0.0
        for index in ids:
            total -= step.log_probs[0, index].item()
            step = stepper.step(torch.tensor([index]), step.state)
        found[weights] = total / len(ids)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=40, help="rounds of 10 ms of each")
    parser.add_argument("--rows", type=int, default=1, help="batch")
    parser.add_argument("--run", help="a language model's run, for the change in loss")
    parser.add_argument("--text", help="a file that it has not been trained on")
    parser.add_argument("--symbols", type=int, default=20_000, help="so many of the text")
    arguments = parser.parse_args()
    if bool(arguments.run) != bool(arguments.text):
        parser.error("--run and --text go together")
    torch.set_num_threads(1)
    result: dict[str, object] = {}
    with torch.no_grad():
        for hidden in HIDDEN:
            took = medians(contenders(hidden, arguments.rows), arguments.repeats)
            print(
                f"H {hidden:4}  " + "  ".join(f"{name} {value:.1f} us" for name, value in took.items()),
                flush=True,
            )
            for name, value in took.items():
                result[f"{name} {hidden} us"] = round(value, 1)
                if name not in ("nn.LSTMCell", "nn.LSTM"):
                    result[f"{name} {hidden} over nn.LSTMCell"] = round(took["nn.LSTMCell"] / value, 2)
                    result[f"{name} {hidden} over nn.LSTM"] = round(took["nn.LSTM"] / value, 2)
    if arguments.run:
        found = losses(arguments.run, read_text(arguments.text), arguments.symbols)
        exact = found.pop("float32")
        result["nats"] = round(exact, 5)
        result |= {f"{weights} change in nats": round(value - exact, 5) for weights, value in found.items()}
    print(json.dumps(result | describe()))


if __name__ == "__main__":
    main()
