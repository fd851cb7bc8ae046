"""What to write in a `step` instead of what cannot be traced, by the name of the function, method or operator."""

from __future__ import annotations

_GATE = "a product with a weight matrix is a gate: affine(gate, r)"
_PARTS = "values are not joined or cut; declare one gate for each part"
_POINTWISE = "a step acts on each hidden unit by itself, except in affine(...) and affine.norm(...)"
_NUMBER = "write the number itself, as in h + 1.0"
_SIZES = "a step needs no shapes; the width is self.hidden_size"
_GRADIENT = "gradients flow through all that a step computes"
_TYPE = "values keep the type of the states; torch.where(condition, 1.0, 0.0) makes a number of a condition"
_DROPOUT = "dropout and zoneout are options of the layer: Recurrent(..., regularisation=Regularisation(...))"
_RANDOM = "a step draws no random numbers; dropout and zoneout are options of the layer"
_LOGIC = "for `and`, `or` and `not` of conditions nest torch.where"
_UNKNOWN = "a value is not known while the step is traced"

_INSTEAD: dict[str, str] = {
    "@ matmul mm bmm mv addmm einsum linear bilinear dot inner outer tensordot baddbmm": _GATE,
    "cat concat concatenate stack hstack vstack dstack chunk split tensor_split unbind": _PARTS,
    "[...] getitem t T mT transpose permute view reshape flatten unflatten narrow select index_select": _PARTS,
    "gather take roll flip squeeze unsqueeze expand expand_as repeat tile movedim unfold": _PARTS,
    "sum mean prod var std norm max min amax amin argmax argmin logsumexp cumsum cumprod": _POINTWISE,
    "softmax log_softmax sort topk median any all": _POINTWISE,
    "layer_norm rms_norm group_norm batch_norm normalize": "use affine.norm(name, value), declared in `norms`",
    "dropout alpha_dropout feature_alpha_dropout": _DROPOUT,
    "rand_like randn_like randint_like bernoulli bernoulli_ normal_ uniform_ multinomial gumbel_softmax": _RANDOM,
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor": _NUMBER,
    "shape size dim ndim ndimension numel len()": _SIZES,
    "device dtype is_cuda layout": "a step needs no device and no type; numbers take those of the states",
    "detach data requires_grad requires_grad_ grad backward clone retain_grad": _GRADIENT,
    "to float double half bfloat16 bool int long type type_as cpu cuda": _TYPE,
    "& | ^ ~ logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not": _LOGIC,
    "masked_fill masked_fill_": "use torch.where(condition, number, value)",
    "clamp_min clamp_max": "use clamp(min=...) or clamp(max=...)",
    "square": "write a ** 2",
    "reciprocal": "write 1 / a",
    "rsqrt": "write 1 / a.sqrt()",
    "rsub": "write b - a",
    "log1p": "write (1 + a).log()",
    "expm1": "write a.exp() - 1",
    "lerp": "write a + weight * (b - a)",
    "sign sgn": "write torch.where(a > 0, 1.0, torch.where(a < 0, -1.0, 0.0))",
    "heaviside": "write torch.where(a > 0, 1.0, 0.0)",
    "silu swish": "write a * a.sigmoid()",
    "logsigmoid log_sigmoid": "write -functional.softplus(-a)",
    "leaky_relu": "write torch.where(a > 0, a, 0.01 * a)",
    "elu celu": "write torch.where(a > 0, a, a.minimum(0.0).exp() - 1)",
    "relu6": "write a.clamp(0.0, 6.0)",
    "hardtanh": "write a.clamp(-1.0, 1.0)",
    "hardsigmoid": "write (a / 6 + 0.5).clamp(0.0, 1.0)",
    "softsign": "write a / (1 + a.abs())",
    "mish": "write a * functional.softplus(a).tanh()",
    "float() int() complex() index() item tolist iteration in": _UNKNOWN,
    "numpy": "use torch's functions, or methods",
    "where": "it takes a comparison and two values or numbers, as in torch.where(a > b, a, 0.0)",
    "softplus": "where beta is not 1 write functional.softplus(beta * a) / beta",
    "maximum minimum": "torch's function takes no numbers; write a.maximum(0.1) or a.minimum(0.1)",
    "lt le gt ge eq ne less less_equal greater greater_equal not_equal": "write the operator, as in 0.1 < a",
    "add sub": "write alpha * b for b",
    "relu": "write a.relu()",
}
_BY_NAME = {name: text for names, text in _INSTEAD.items() for name in names.split()}


def instead(name: str) -> str:
    """What to write instead, after a colon; an empty string where there is nothing to say."""
    text = _BY_NAME.get(name) or _BY_NAME.get(name.removeprefix("special_"))
    if text is None and name.endswith("_") and not name.endswith("__"):
        text = "values are not changed in place; write value = value + ..."
    return f": {text}" if text else ""
