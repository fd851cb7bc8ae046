"""The equations of Keras 3's layers and of ONNX's operators in numpy, written after their specifications.

They are what the converters are checked against; they know nothing of recurra but the `OnnxOperator` record.
B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recurra import convert

Step = Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]
Activation = Callable[[np.ndarray], np.ndarray]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def relu(a: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0)


def elu(a: np.ndarray) -> np.ndarray:
    return np.where(a >= 0, a, np.expm1(np.minimum(a, 0)))


def softsign(a: np.ndarray) -> np.ndarray:
    return a / (1 + np.abs(a))


def softplus(a: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, a)


KERAS_ACTIVATIONS: dict[str, Activation] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "hard_sigmoid": lambda a: np.clip(a + 3, 0, 6) / 6,
    "elu": elu,
    "linear": lambda a: a,
    "softplus": softplus,
    "softsign": softsign,
}
ONNX_ACTIVATIONS: dict[str, Activation] = {
    "Tanh": np.tanh,
    "Sigmoid": sigmoid,
    "Relu": relu,
    "HardSigmoid": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "Elu": elu,
    "LeakyRelu": lambda a: np.where(a >= 0, a, 0.01 * a),
    "Softplus": softplus,
    "Softsign": softsign,
}


def loop(step: Step, x: np.ndarray, states: list[np.ndarray]) -> np.ndarray:
    outputs = []
    for t in range(x.shape[1]):
        states = step(x[:, t], states)
        outputs.append(states[0])
    return np.stack(outputs, 1)


def through(steps: list[list[Step]], x: np.ndarray, hidden: int, count: int) -> np.ndarray:
    """`steps[layer][direction]` over x `[B, T, I]`, from zero states."""
    for directions in steps:
        zeros = [np.zeros((x.shape[0], hidden)) for _ in range(count)]
        sides = [loop(directions[0], x, zeros)]
        if len(directions) == 2:
            sides.append(loop(directions[1], x[:, ::-1], zeros)[:, ::-1])
        x = np.concatenate(sides, -1)
    return x


# --- Keras 3 ------------------------------------------------------------------------------------------


def keras_simple_rnn(kernel, recurrent, bias, f: Activation = np.tanh) -> Step:
    return lambda x, s: [f(x @ kernel + bias + s[0] @ recurrent)]


def keras_gru_reset_after(kernel, recurrent, bias, g: Activation = np.tanh, f: Activation = sigmoid) -> Step:
    def step(x, s):
        x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, -1)
        r_z, r_r, r_h = np.split(s[0] @ recurrent + bias[1], 3, -1)
        z, r = f(x_z + r_z), f(x_r + r_r)
        return [z * s[0] + (1 - z) * g(x_h + r * r_h)]

    return step


def keras_gru(kernel, recurrent, bias, g: Activation = np.tanh, f: Activation = sigmoid) -> Step:
    def step(x, s):
        x_z, x_r, x_h = np.split(x @ kernel + bias, 3, -1)
        u_z, u_r, u_h = np.split(recurrent, 3, -1)
        z, r = f(x_z + s[0] @ u_z), f(x_r + s[0] @ u_r)
        return [z * s[0] + (1 - z) * g(x_h + (r * s[0]) @ u_h)]

    return step


def keras_lstm(kernel, recurrent, bias, g: Activation = np.tanh, f: Activation = sigmoid) -> Step:
    def step(x, s):
        z_i, z_f, z_c, z_o = np.split(x @ kernel + s[0] @ recurrent + bias, 4, -1)
        c = f(z_f) * s[1] + f(z_i) * g(z_c)
        return [f(z_o) * g(c), c]

    return step


# --- ONNX ---------------------------------------------------------------------------------------------


def onnx_step(operator: convert.OnnxOperator, direction: int) -> Step:
    """One step of a direction; of an LSTM's memory, h's operand is not clipped, as in ONNX Runtime."""
    W, R = operator.W[direction], operator.R[direction]
    hidden = R.shape[1]
    gates = W.shape[0] // hidden
    B = np.zeros(2 * gates * hidden) if operator.B is None else operator.B[direction]
    Wb, Rb = np.split(B, 2)
    P = np.zeros(3 * hidden) if operator.P is None else operator.P[direction]
    P_i, P_o, P_f = np.split(P, 3)
    bound = np.inf if operator.clip is None else operator.clip
    own = len(operator.activations) // operator.W.shape[0]
    names = operator.activations[own * direction : own * (direction + 1)]
    f, g, h_function = (ONNX_ACTIVATIONS[name] for name in (*names, *("Tanh",) * (3 - own)))

    def clip(a):
        return np.clip(a, -bound, bound)

    def rnn(x, s):
        return [f(clip(x @ W.T + s[0] @ R.T + Wb + Rb))]

    def gru(x, s):
        (W_z, W_r, W_h), (R_z, R_r, R_h) = np.split(W, 3), np.split(R, 3)
        (Wb_z, Wb_r, Wb_h), (Rb_z, Rb_r, Rb_h) = np.split(Wb, 3), np.split(Rb, 3)
        z = f(clip(x @ W_z.T + s[0] @ R_z.T + Wb_z + Rb_z))
        r = f(clip(x @ W_r.T + s[0] @ R_r.T + Wb_r + Rb_r))
        if operator.linear_before_reset:
            h = g(clip(x @ W_h.T + r * (s[0] @ R_h.T + Rb_h) + Wb_h))
        else:
            h = g(clip(x @ W_h.T + (r * s[0]) @ R_h.T + Rb_h + Wb_h))
        return [(1 - z) * h + z * s[0]]

    def lstm(x, s):
        a_i, a_o, a_f, a_c = np.split(x @ W.T + s[0] @ R.T + Wb + Rb, 4, -1)
        i = f(clip(a_i + P_i * s[1]))
        forget = 1 - i if operator.input_forget else f(clip(a_f + P_f * s[1]))
        c = forget * s[1] + i * g(clip(a_c))
        return [f(clip(a_o + P_o * c)) * h_function(c), c]

    return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[operator.op_type]


def onnx_outputs(operators: list[convert.OnnxOperator], x: np.ndarray) -> np.ndarray:
    """A stack of forward or bidirectional operators of equal width over x `[B, T, I]`, from zero states."""
    steps = [[onnx_step(o, direction) for direction in range(o.W.shape[0])] for o in operators]
    return through(steps, x, operators[0].R.shape[2], 2 if operators[0].op_type == "LSTM" else 1)
