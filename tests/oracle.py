"""The oracle: every built-in cell from its textbook equations, one row and one step at a time.

It shares nothing with recurra but the parameters, which it reads by name from a cell: no tracing, no
hoisted products, no padding, no batch. Each gate is one matrix W_gate times one stacked vector [r, x],
as the textbooks write it. Autograd goes through it to the parameters, the inputs and the initial states.

I input, H hidden, B batch, T time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

States = dict[str, Tensor]  # name -> [H] for a row, [B, H] for a batch

# The order in which the cells' gates lie in the weight matrices, as the documentation promises it.
GATES: dict[str, tuple[str, ...]] = {
    "elman": ("candidate",),
    "relu_elman": ("candidate",),
    "simplified_gru": ("update", "candidate"),
    "gru": ("update", "reset", "candidate"),
    "gru_reset_after": ("reset", "update", "candidate"),
    "lstm": ("update", "forget", "candidate", "output"),
    "peephole_lstm": ("update", "forget", "candidate", "output"),
    "course_peephole_lstm": ("update", "forget", "candidate", "output"),
    "layer_norm_lstm": ("update", "forget", "candidate", "output"),
    "coupled_lstm": ("update", "candidate", "output"),
    "minimal_gated_unit": ("forget", "candidate"),
    "ind_rnn": ("candidate",),
    "min_gru": ("update", "candidate"),
    "min_lstm": ("update", "forget", "candidate"),
    "slstm": ("update", "forget", "candidate", "output"),
}
WITH_MEMORY = ("lstm", "peephole_lstm", "course_peephole_lstm", "layer_norm_lstm", "coupled_lstm")
STATES: dict[str, tuple[str, ...]] = {name: ("h", "c") if name in WITH_MEMORY else ("h",) for name in GATES}
STATES["slstm"] = ("h", "c", "n", "m")
# Those whose gates see the input only.
WITHOUT_HIDDEN_WEIGHTS = ("ind_rnn", "min_gru", "min_lstm")


class Parameters:
    """One cell's parameters by gate: W `[H, H + I]` over [r, x], b `[H]`."""

    def __init__(self, cell_name: str, parameters: Mapping[str, Tensor]) -> None:
        self.gates = GATES[cell_name]
        self.named = {name: tensor.double() for name, tensor in parameters.items()}
        self.hidden_size = self.named["input_weight"].shape[0] // len(self.gates)

    def part(self, parameter: str, gate: str) -> Tensor:
        """The H rows that belong to `gate`; zero where a cell has no such bias."""
        if parameter not in self.named:
            return torch.zeros(self.hidden_size, dtype=torch.float64)
        first = self.gates.index(gate) * self.hidden_size
        return self.named[parameter][first : first + self.hidden_size]

    def affine(self, gate: str, r: Tensor, x: Tensor) -> Tensor:
        """W_gate [r, x] + b_gate."""
        weight = torch.cat([self.part("hidden_weight", gate), self.part("input_weight", gate)], dim=1)
        return weight @ torch.cat([r, x]) + self.part("bias", gate)

    def input_half(self, gate: str, x: Tensor) -> Tensor:
        """W_gate x + b_gate."""
        return self.part("input_weight", gate) @ x + self.part("bias", gate)

    def norm(self, name: str, value: Tensor) -> Tensor:
        """Layer norm over the hidden units (Ba, Kiros & Hinton 2016, equation 4), eps 1e-5."""
        mean = value.sum() / self.hidden_size
        variance = ((value - mean) ** 2).sum() / self.hidden_size
        scaled = (value - mean) / torch.sqrt(variance + 1e-5)
        return self.named[f"norm_{name}_gain"] * scaled + self.named[f"norm_{name}_shift"]


def sigmoid(a: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-a))


def elman(p: Parameters, x: Tensor, h: Tensor) -> States:
    return {"h": torch.tanh(p.affine("candidate", h, x))}


def relu_elman(p: Parameters, x: Tensor, h: Tensor) -> States:
    return {"h": torch.relu(p.affine("candidate", h, x))}


def simplified_gru(p: Parameters, x: Tensor, h: Tensor) -> States:
    update = sigmoid(p.affine("update", h, x))
    candidate = torch.tanh(p.affine("candidate", h, x))
    return {"h": update * candidate + (1 - update) * h}


def gru(p: Parameters, x: Tensor, h: Tensor) -> States:
    update = sigmoid(p.affine("update", h, x))
    reset = sigmoid(p.affine("reset", h, x))
    candidate = torch.tanh(p.affine("candidate", reset * h, x))
    return {"h": update * candidate + (1 - update) * h}


def gru_reset_after(p: Parameters, x: Tensor, h: Tensor) -> States:
    def hidden_half(gate: str) -> Tensor:
        return p.part("hidden_weight", gate) @ h + p.part("hidden_bias", gate)

    reset = sigmoid(p.input_half("reset", x) + hidden_half("reset"))
    update = sigmoid(p.input_half("update", x) + hidden_half("update"))
    candidate = torch.tanh(p.input_half("candidate", x) + reset * hidden_half("candidate"))
    return {"h": (1 - update) * candidate + update * h}


def lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> States:
    update = sigmoid(p.affine("update", h, x))
    forget = sigmoid(p.affine("forget", h, x))
    output = sigmoid(p.affine("output", h, x))
    candidate = torch.tanh(p.affine("candidate", h, x))
    memory = update * candidate + forget * c
    return {"h": output * torch.tanh(memory), "c": memory}


def peephole_lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> States:
    vector = p.named
    update = sigmoid(p.affine("update", h, x) + vector["vector_update"] * c)
    forget = sigmoid(p.affine("forget", h, x) + vector["vector_forget"] * c)
    candidate = torch.tanh(p.affine("candidate", h, x))
    memory = update * candidate + forget * c
    output = sigmoid(p.affine("output", h, x) + vector["vector_output"] * memory)
    return {"h": output * torch.tanh(memory), "c": memory}


def course_peephole_lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> States:
    vector = p.named
    update = sigmoid(p.affine("update", h, x) + vector["vector_update"] * c)
    forget = sigmoid(p.affine("forget", h, x) + vector["vector_forget"] * c)
    output = sigmoid(p.affine("output", h, x) + vector["vector_output"] * c)
    candidate = torch.tanh(p.affine("candidate", h, x))
    memory = update * candidate + forget * c
    return {"h": output * torch.tanh(memory), "c": memory}


def layer_norm_lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> States:
    update = sigmoid(p.norm("update", p.affine("update", h, x)))
    forget = sigmoid(p.norm("forget", p.affine("forget", h, x)))
    output = sigmoid(p.norm("output", p.affine("output", h, x)))
    candidate = torch.tanh(p.norm("candidate", p.affine("candidate", h, x)))
    memory = update * candidate + forget * c
    return {"h": output * torch.tanh(p.norm("memory", memory)), "c": memory}


def coupled_lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> States:
    update = sigmoid(p.affine("update", h, x))
    forget = 1 - update
    output = sigmoid(p.affine("output", h, x))
    candidate = torch.tanh(p.affine("candidate", h, x))
    memory = forget * c + update * candidate
    return {"h": output * torch.tanh(memory), "c": memory}


def minimal_gated_unit(p: Parameters, x: Tensor, h: Tensor) -> States:
    forget = sigmoid(p.affine("forget", h, x))
    candidate = torch.tanh(p.affine("candidate", forget * h, x))
    return {"h": (1 - forget) * h + forget * candidate}


def ind_rnn(p: Parameters, x: Tensor, h: Tensor) -> States:
    return {"h": torch.relu(p.input_half("candidate", x) + p.named["vector_recurrent"] * h)}


def min_gru(p: Parameters, x: Tensor, h: Tensor) -> States:
    update = sigmoid(p.input_half("update", x))
    return {"h": (1 - update) * h + update * p.input_half("candidate", x)}


def min_lstm(p: Parameters, x: Tensor, h: Tensor) -> States:
    update = sigmoid(p.input_half("update", x))
    forget = sigmoid(p.input_half("forget", x))
    admitted, kept = update / (forget + update), forget / (forget + update)
    return {"h": kept * h + admitted * p.input_half("candidate", x)}


def slstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> States:
    """Beck 2024, unit by unit where a condition decides; n and c are those of the paper times e^-m."""
    log_update = p.affine("update", h, x)
    log_forget = -torch.log(1 + torch.exp(-p.affine("forget", h, x)))
    output = sigmoid(p.affine("output", h, x))
    candidate = torch.tanh(p.affine("candidate", h, x))
    new: dict[str, list[Tensor]] = {name: [] for name in STATES["slstm"]}
    for j in range(p.hidden_size):
        log_kept = log_forget[j] + m[j] if n[j] > 0 else log_update[j]
        stabiliser = log_kept if log_kept > log_update[j] else log_update[j]
        update, kept = torch.exp(log_update[j] - stabiliser), torch.exp(log_kept - stabiliser)
        memory, normaliser = kept * c[j] + update * candidate[j], kept * n[j] + update
        divisor = normaliser if normaliser >= 1 else torch.ones_like(normaliser)
        for name, value in zip(
            new, (output[j] * memory / divisor, memory, normaliser, stabiliser), strict=True
        ):
            new[name].append(value)
    return {name: torch.stack(values) for name, values in new.items()}


STEPS: dict[str, Callable[..., States]] = {
    "elman": elman,
    "relu_elman": relu_elman,
    "simplified_gru": simplified_gru,
    "gru": gru,
    "gru_reset_after": gru_reset_after,
    "lstm": lstm,
    "peephole_lstm": peephole_lstm,
    "course_peephole_lstm": course_peephole_lstm,
    "layer_norm_lstm": layer_norm_lstm,
    "coupled_lstm": coupled_lstm,
    "minimal_gated_unit": minimal_gated_unit,
    "ind_rnn": ind_rnn,
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "slstm": slstm,
}


def run_row(
    cell_name: str, p: Parameters, steps: list[Tensor], states: States
) -> tuple[list[Tensor], States]:
    """One row of one layer in one direction: its outputs in the order of `steps`, and its last states."""
    outputs = []
    for x in steps:
        states = STEPS[cell_name](p, x, *(states[name] for name in STATES[cell_name]))
        outputs.append(states["h"])
    return outputs, states


def run_layer(
    cell_name: str, directions: Sequence[Parameters], steps: list[Tensor], states: Sequence[States]
) -> tuple[list[Tensor], list[States]]:
    """One row of one layer; the second direction reads the row from its last step to its first."""
    outputs, last = run_row(cell_name, directions[0], steps, states[0])
    if len(directions) == 1:
        return outputs, [last]
    backward, last_backward = run_row(cell_name, directions[1], steps[::-1], states[1])
    sides = zip(outputs, backward[::-1], strict=True)
    return [torch.cat([forward, back]) for forward, back in sides], [last, last_backward]


def run(
    cell_name: str,
    cells: Sequence[Sequence[nn.Module]],
    x: Tensor,
    state: Sequence[Sequence[Mapping[str, Tensor]]] | None = None,
    lengths: Sequence[int] | None = None,
) -> tuple[Tensor, list[list[States]]]:
    """The whole stack: outputs `[B, T, D*H]` in float64 and `states[layer][direction][name]` `[B, H]`.

    `cells[layer][direction]` is anything with named parameters; `x` is `[B, T, I]`.
    """
    parameters = [
        [Parameters(cell_name, dict(cell.named_parameters())) for cell in directions] for directions in cells
    ]
    batch, time, _ = x.shape
    outputs, rows = [], []
    for b in range(batch):
        length = time if lengths is None else int(lengths[b])
        steps, last = [x[b, t].double() for t in range(length)], []
        for layer, directions in enumerate(parameters):
            start = [
                {
                    name: torch.zeros(p.hidden_size, dtype=torch.float64)
                    if state is None
                    else state[layer][direction][name][b].double()
                    for name in STATES[cell_name]
                }
                for direction, p in enumerate(directions)
            ]
            steps, states = run_layer(cell_name, directions, steps, start)
            last.append(states)
        width = sum(p.hidden_size for p in parameters[-1])
        steps = steps + [torch.zeros(width, dtype=torch.float64)] * (time - length)
        outputs.append(torch.stack(steps) if steps else torch.zeros(0, width, dtype=torch.float64))
        rows.append(last)
    final = [
        [
            {name: torch.stack([row[layer][direction][name] for row in rows]) for name in STATES[cell_name]}
            for direction in range(len(directions))
        ]
        for layer, directions in enumerate(parameters)
    ]
    return torch.stack(outputs), final
