"""Programs and their derivatives as equations, in plain text or in LaTeX.

Gates' values, new states and what is used more than once get a line of their own. In the derivative `d_v` is
the gradient of the loss by v, and `a_gate` a gate's pre-activation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from recurra.cells.derivative import Derivative, differentiate
from recurra.cells.program import BINARY, COMPARISONS, Node, Program

PRECEDENCE = {"add": 1, "sub": 1, "neg": 2, "mul": 3, "div": 3, "transposed": 3, "pow": 4}
HIGHEST = 9
LONGEST = 24  # operations and operands in a line


class Text:
    """How the parts of an equation are written in plain text."""

    def word(self, name: str) -> str:
        """The name of a gate, state or shared value."""
        return name

    def new(self, state: str) -> str:
        """A state after the step."""
        return f"{self.word(state)}'"

    def gradient(self, of: str) -> str:
        """The gradient of the loss by something."""
        return f"d_{of}"

    def parameter(self, letter: str, *indices: str) -> str:
        """A weight matrix, bias, vector or mask, by its indices."""
        return "_".join((letter, *indices))

    def transposed(self, matrix: str) -> str:
        """A matrix transposed."""
        return f"{matrix}^T"

    def infix(self, op: str, left: str, right: str) -> str:
        """An operation between its operands."""
        return f"{left} {BINARY[op]} {right}"

    def compared(self, op: str, left: str, right: str) -> str:
        """A condition."""
        return f"{left} {COMPARISONS[op]} {right}"

    def call(self, function: str, operands: Sequence[str]) -> str:
        """A function of its operands."""
        return f"{function}({', '.join(operands)})"

    def number(self, value: float | None) -> str:
        """A number; None is a missing bound."""
        return "None" if value is None else f"{value:g}"

    def sides(self, left: str, sign: str, right: str) -> str:
        """One equation."""
        return f"{left} {sign} {right}"


class Latex(Text):
    """The same in LaTeX, an `aligned` row per equation."""

    FUNCTIONS = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log", "maximum": r"\max"}
    FUNCTIONS |= {"minimum": r"\min"}
    INFIX = {"add": "+", "sub": "-", "mul": r"\odot"}
    COMPARED = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge", "eq": "=", "ne": r"\ne"}

    def word(self, name: str) -> str:
        plain = len(name) == 1 or name.isdigit()
        return name if plain else rf"\mathit{{{name}}}".replace("_", r"\_")

    def new(self, state: str) -> str:
        return rf"{self.word(state)}^{{\prime}}"

    def gradient(self, of: str) -> str:
        return rf"\mathrm{{d}}{of}"

    def parameter(self, letter: str, *indices: str) -> str:
        shown = letter if len(letter) == 1 else rf"\mathrm{{{letter}}}"
        return f"{shown}_{{{', '.join(self.word(index) for index in indices)}}}"

    def transposed(self, matrix: str) -> str:
        return rf"{matrix}^{{\top}}"

    def infix(self, op: str, left: str, right: str) -> str:
        if op == "div":
            return rf"\frac{{{left}}}{{{right}}}"
        return f"{{{left}}}^{{{right}}}" if op == "pow" else f"{left} {self.INFIX[op]} {right}"

    def compared(self, op: str, left: str, right: str) -> str:
        return f"{left} {self.COMPARED[op]} {right}"

    def call(self, function: str, operands: Sequence[str]) -> str:
        if function == "sqrt":
            return rf"\sqrt{{{operands[0]}}}"
        if function == "abs":
            return rf"\left|{operands[0]}\right|"
        if function.startswith("layer_norm_"):
            shown = self.parameter("LN", function.removeprefix("layer_norm_"))
        else:
            shown = self.FUNCTIONS.get(function, rf"\mathrm{{{function}}}".replace("_", r"\ "))
        return rf"{shown}\left({', '.join(operands)}\right)"

    def number(self, value: float | None) -> str:
        if value is None:
            return r"\cdot"
        if not math.isfinite(value):
            return r"\mathrm{NaN}" if math.isnan(value) else r"\infty" if value > 0 else r"-\infty"
        digits, _, power = f"{value:g}".partition("e")
        return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits

    def sides(self, left: str, sign: str, right: str) -> str:
        relation = "=" if sign == "=" else r"\mathrel{+}="
        return rf"{left} &{relation} {right} \\"


class _Writer:
    """Writes the nodes of a program, or of its derivative, as expressions."""

    def __init__(self, program: Program, style: Text, nodes: Sequence[Node] = ()) -> None:
        self.program, self.style = program, style
        self.nodes = nodes or program.nodes
        self.names: dict[int, str] = {}  # what stands for a node wherever it is used
        for gate, places in program.gate_values.items():
            if len(places) == 1 and program.nodes[places[0]].op not in ("input", "hidden"):
                self.names[places[0]] = style.word(gate)
        self.new = {
            place: style.new(state)
            for state, place in zip(program.states, program.outputs, strict=True)
            if program.nodes[place].op != "state"
        }
        self._shared = 0
        self._sizes: dict[int, int] = {}  # of what has no name: how long its expression is
        self._name_shared(range(len(program.nodes)), [product.operand for product in program.products])

    def _name_shared(self, places: Sequence[int], further_uses: Sequence[int] = ()) -> None:
        """Names t1, t2, ... for what is used more than once and is more than a function of one name.

        An expression longer than `LONGEST` gets a name too, so that lines stay short.
        """
        uses = Counter(arg for place in places for arg in self.nodes[place].args)
        for place in places:
            if self.nodes[place].op == "hidden":  # its operand is counted with the product
                uses[self.nodes[place].args[0]] -= 1
        uses.update(further_uses)
        for place in places:
            taken = place in self.names or place in self.new
            size = 1 + sum(self._sizes.get(arg, 0) for arg in self.nodes[place].args)
            if not taken and (size > LONGEST or (uses[place] > 1 and not self._is_short(place))):
                self._shared += 1
                self.names[place] = self.style.parameter("t", str(self._shared))
                taken = True
            if not taken:
                self._sizes[place] = size

    def _is_short(self, place: int) -> bool:
        node = self.nodes[place]
        if not node.args or node.op in ("input", "hidden"):
            return True
        inner = node.args[0]
        plain = inner in self.names or inner in self.new or not self.nodes[inner].args
        return len(node.args) == 1 and plain and node.op not in ("neg", "norm", "transposed")

    def lines(self) -> Iterator[str]:
        """The program, a line per named value."""
        for place in range(len(self.program.nodes)):
            if place in self.names:
                yield self.style.sides(self.names[place], "=", self.expression(place))
            if place in self.new and place not in self.names:
                yield self.style.sides(self.new[place], "=", self.expression(place))
        for state, place in zip(self.program.states, self.program.outputs, strict=True):
            if place in self.names or place not in self.new:
                yield self.style.sides(self.style.new(state), "=", self.text(place))

    def text(self, place: int, level: int = 0) -> str:
        """The name of a node where it has one, otherwise its expression."""
        name = self.names.get(place) or self.new.get(place)
        return name if name is not None else self.expression(place, level)

    def expression(self, place: int, level: int = 0) -> str:
        """The expression, in brackets where it binds less tightly than `level`."""
        node = self.nodes[place]
        affine = self._affine(node)
        precedence = PRECEDENCE.get(node.op, HIGHEST)
        if node.op == "constant" and level == PRECEDENCE["pow"] and str(node.values[0]).startswith("-"):
            precedence = PRECEDENCE["neg"]  # the base of a power
        if affine is not None:
            text = affine
        elif node.op in BINARY:
            right = (
                precedence if node.op in ("add", "mul") else precedence + 1
            )  # a + (b + c) needs no brackets
            text = self.style.infix(
                node.op, self.text(node.args[0], precedence), self.text(node.args[1], right)
            )
        elif node.op in COMPARISONS:
            operands = [self.text(arg, 1) for arg in node.args]
            text = self.style.compared(node.op, *operands)
        elif node.op == "neg":
            text = f"-{self.text(node.args[0], 3)}"
        elif node.op in ("input", "hidden"):
            text = self._half(node)
            precedence = 1 if "+" in text else 3
        elif node.op == "transposed":
            matrix = self.style.transposed(self.style.parameter("W", node.name, "h"))
            text = f"{matrix} {self.text(node.args[0], HIGHEST)}"
        else:
            text = self._call(node)
        return f"({text})" if precedence < level else text

    def _bias(self, node: Node) -> str:
        two_biases = node.name in self.program.hidden_bias_gates
        if not self.program.has_bias or (node.op == "hidden" and not two_biases):
            return ""
        kind = ("x" if node.op == "input" else "h",) if two_biases else ()
        return f" + {self.style.parameter('b', node.name, *kind)}"

    def _half(self, node: Node) -> str:
        side, operand = ("x", "x") if node.op == "input" else ("h", self.text(node.args[0], HIGHEST))
        return f"{self.style.parameter('W', node.name, side)} {operand}{self._bias(node)}"

    def _affine(self, node: Node) -> str | None:
        """`W [r, x] + b`, where a sum is both halves of one gate."""
        if node.op != "add":
            return None
        first, second = (self.nodes[arg] for arg in node.args)
        whole = (first.op, second.op, first.name) == ("input", "hidden", second.name)
        if not whole or first.name in self.program.hidden_bias_gates:
            return None
        operand = self.text(second.args[0])
        return f"{self.style.parameter('W', first.name)} [{operand}, x]{self._bias(first)}"

    def _call(self, node: Node) -> str:
        leaves = {
            "state": lambda: self.style.word(node.name),
            "constant": lambda: self.style.number(node.values[0]),
            "vector": lambda: self.style.parameter("p", node.name),
            "mask": lambda: self.style.parameter("mask", node.name),
            "step_mask": lambda: self.style.parameter("mask", node.name),
            "gradient": lambda: self.style.gradient(self.style.new(node.name)),
            "gain": lambda: self.style.parameter("gain", node.name),
        }
        if node.op in leaves:
            return leaves[node.op]()
        operands = [self.text(arg) for arg in node.args] + [self.style.number(value) for value in node.values]
        return self.style.call(f"layer_norm_{node.name}" if node.op == "norm" else node.op, operands)


class _BackwardWriter(_Writer):
    """Writes a derivative: gradients of named values, of the states before, of the input and the parameters."""

    def __init__(self, derivative: Derivative, style: Text) -> None:
        super().__init__(derivative.program, style, derivative.nodes)
        self.derivative = derivative
        gradients: dict[int, str] = {}  # those with a line of their own, by place
        named = self.names | self.new
        for place, gradient in derivative.gradients.items():
            if place in named and derivative.nodes[gradient].op != "gradient":
                gradients.setdefault(gradient, style.gradient(named[place]))
        for op, side in (("input", ()), ("hidden", ("h",))):
            for gate in derivative.program.gates:
                half = derivative.of(op, gate)
                if half is not None:
                    gradients.setdefault(half, style.gradient(style.parameter("a", gate, *side)))
        self.names |= gradients
        self._name_shared(range(len(derivative.program.nodes), len(derivative.nodes)))

    def lines(self) -> Iterator[str]:
        """The derivative, in an order in which it can be computed."""
        program, style = self.program, self.style
        for place in range(len(program.nodes), len(self.nodes)):
            if place in self.names:
                yield self._equation(place)
        for state in program.states:
            before = self.derivative.of("state", state)
            value = style.number(0.0) if before is None else self.text(before)
            yield style.sides(style.gradient(style.word(state)), "=", value)
        inputs = [
            f"{style.transposed(style.parameter('W', gate, 'x'))} {self._gradient('input', gate)}"
            for gate in program.input_gates
        ]
        if inputs:
            yield style.sides(style.gradient("x"), "=", " + ".join(inputs))

    def _equation(self, place: int) -> str:
        """A line; what is added to the gradient that arrives at a new state is written as such."""
        added, first = "", place
        while self.nodes[first].op in ("add", "sub") and (first == place or first not in self.names):
            op, (before, term) = self.nodes[first].op, self.nodes[first].args
            sign = BINARY[op]
            added = f" {sign} {self.text(term, PRECEDENCE[op] + (op == 'sub'))}{added}"
            first = before
        arriving = self.nodes[first]
        if arriving.op == "gradient" and self.names[place] == self._call(arriving):
            added = added.removeprefix(" + ")
            return self.style.sides(self.names[place], "+=", f"-{added[3:]}" if added[:3] == " - " else added)
        return self.style.sides(self.names[place], "=", self.expression(place))

    def parameters(self) -> Iterator[str]:
        """What one step adds to the gradients of the parameters; [..]^T is a row."""
        program, style = self.program, self.style
        operands = {gate: product.operand for product in program.products for gate in product.gates}
        for gate in program.gates:
            halves = [("input", "x", "x")] if gate in program.input_gates else []
            if gate in operands:
                halves.append(("hidden", "h", self.text(operands[gate])))
            both = len(halves) == 2 and self.derivative.of("input", gate) == self.derivative.of(
                "hidden", gate
            )
            if both:
                row = style.transposed(f"[{halves[1][2]}, x]")
                weight = style.gradient(style.parameter("W", gate))
                yield style.sides(weight, "+=", f"{self._gradient('input', gate)} {row}")
            else:
                for op, side, operand in halves:
                    weight = style.gradient(style.parameter("W", gate, side))
                    row = style.transposed(operand if len(operand) == 1 else f"({operand})")
                    yield style.sides(weight, "+=", f"{self._gradient(op, gate)} {row}")
            yield from self._biases(gate)
        for name in program.vectors:
            place = self.derivative.of("vector", name)
            if place is not None:
                yield style.sides(style.gradient(style.parameter("p", name)), "+=", self.text(place))
        for name, place in self.derivative.norm_gains.items():
            yield style.sides(style.gradient(style.parameter("gain", name)), "+=", self.text(place))
        for name, place in self.derivative.norm_shifts.items():
            yield style.sides(style.gradient(style.parameter("shift", name)), "+=", self.text(place))

    def _biases(self, gate: str) -> Iterator[str]:
        program, style = self.program, self.style
        two_biases = gate in program.hidden_bias_gates
        sides = [("input", ("x",) if two_biases else ())] if gate in program.input_gates else []
        sides += [("hidden", ("h",))] if two_biases else []
        for op, side in sides if program.has_bias else ():
            bias = style.gradient(style.parameter("b", gate, *side))
            yield style.sides(bias, "+=", self._gradient(op, gate))

    def _gradient(self, op: str, gate: str) -> str:
        place = self.derivative.of(op, gate)
        return self.style.number(0.0) if place is None else self.text(place, HIGHEST)


def equations(program: Program, latex: bool = False) -> str:
    """One step forwards and backwards; in plain text the order of the products with hidden weights too.

    Args:
        program: of a cell.
        latex: an `aligned` environment for each part.
    """
    style = Latex() if latex else Text()
    forward, backward = _Writer(program, style), _BackwardWriter(differentiate(program), style)
    parts = [
        ("one step", list(forward.lines())),
        ("products with hidden weights, in order", [] if latex else _products(forward)),
        ("one step backwards; d_v is the gradient of the loss by v", list(backward.lines())),
        (
            "what a step adds to the gradients of the parameters, summed over rows",
            list(backward.parameters()),
        ),
    ]
    sections = []
    for title, lines in parts:
        if lines and latex:
            sections.append("\n".join([f"% {title}", r"\begin{aligned}", *lines, r"\end{aligned}"]))
        elif lines:
            sections.append("\n".join([f"# {title}", *lines]))
    return "\n\n".join(sections)


def labels(derivative: Derivative) -> dict[int, str]:
    """The equations of all named values, forwards and backwards, by their places in the derivative."""
    writer = _BackwardWriter(derivative, Text())
    names = writer.names | {place: name for place, name in writer.new.items() if place not in writer.names}
    return {place: f"{name} = {writer.expression(place)}" for place, name in names.items()}


def _products(writer: _Writer) -> list[str]:
    return [
        f"{number}. {', '.join(product.gates)}: on {writer.text(product.operand)}"
        for number, product in enumerate(writer.program.products, 1)
    ]
