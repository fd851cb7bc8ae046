"""What PyTorch's transformations make of a recurrent layer, on each backend: they work, or one line refuses them.

    python tests/transformations.py NAME BACKEND ROWS     one outcome, as a line of JSON
    python tests/transformations.py --write               all of them, as the table of docs/engine.md

A transformation that works gives what the same layer gives without it on the reference backend.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__" and sys.argv[1:3][-1:] == ["gpu"]:
    os.environ["TRITON_INTERPRET"] = "1"  # where there is no GPU, refusals are seen in Triton's interpreter

import torch
from torch import Tensor, nn

from recurra import Recurrent
from recurra.cells import LSTM
from recurra.errors import RecurraError

BACKENDS = ("vendor", "cpu", "gpu", "reference")
ROWS = ("even", "ragged")
BATCH, TIME, INPUT, HIDDEN = 4, 5, 3, 5
LENGTHS = (4, 0, 5, 2)
PAGE = Path(__file__).parents[1] / "docs" / "engine.md"
BEGIN, END = "<!-- transformations: begin -->", "<!-- transformations: end -->"


class Setting:
    """A layer on a backend, and something to run it on."""

    def __init__(self, backend: str, rows: str) -> None:
        torch.manual_seed(11)
        self.backend = backend
        # float32 for the kernel of the vendor's that auto takes; on the reference float64 would do.
        self.rnn = Recurrent(LSTM, INPUT, HIDDEN, bidirectional=True, backend=backend)
        with torch.no_grad():
            for parameter in self.rnn.parameters():
                parameter.normal_(0.0, 0.5)
        self.x = torch.randn(BATCH, TIME, INPUT)
        self.state = self.rnn.zero_state(BATCH).map(torch.randn_like)
        self.lengths = torch.tensor(LENGTHS) if rows == "ragged" else None

    @property
    def arguments(self) -> tuple[object, ...]:
        return (self.x, self.state, self.lengths)

    def reference(self) -> Recurrent:
        found = copy.deepcopy(self.rnn)
        found.backend = "reference"
        return found

    def values(self, rnn: nn.Module, x: Tensor | None = None) -> list[Tensor]:
        outputs, state = rnn(self.x if x is None else x, self.state, self.lengths)
        return [outputs, *(value for _, value in state.tensors())]

    def loss(self, rnn: nn.Module, x: Tensor | None = None) -> Tensor:
        values = self.values(rnn, x)
        total = torch.stack([value.square().sum() for value in values]).sum()
        assert isinstance(total, Tensor)
        return total

    def gradients(self, rnn: nn.Module) -> list[Tensor]:
        x = self.x.clone().requires_grad_()
        return list(torch.autograd.grad(self.loss(rnn, x), [x, *rnn.parameters()]))


def agree(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-4) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def compiled(setting: Setting, fullgraph: bool = False) -> None:
    """Forward and backward, in training mode, as the first use of the layer in its process."""
    layer = torch.compile(setting.rnn, fullgraph=fullgraph, backend="aot_eager")
    agree(setting.values(layer), setting.values(setting.reference()))
    agree(setting.gradients(layer), setting.gradients(setting.reference()))


def compiled_whole(setting: Setting) -> None:
    compiled(setting, fullgraph=True)


def exported(setting: Setting) -> None:
    """Saved, and loaded in a process that has imported recurra and no more of it."""
    setting.rnn.eval()
    program = torch.export.export(setting.rnn, setting.arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        torch.export.save(program, path / "layer.pt2")
        expected = setting.values(setting.reference())
        torch.save([setting.x, setting.state.as_dict(), setting.lengths, expected], path / "values.pt")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOADED, folder],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


LOADED = """
import sys, recurra, torch
folder = sys.argv[1]
x, state, lengths, expected = torch.load(f"{folder}/values.pt")
layer = torch.export.load(f"{folder}/layer.pt2").module()
outputs, final = layer(x, recurra.State.from_dict(state), lengths)
for ours, theirs in zip([outputs, *(value for _, value in final.tensors())], expected, strict=True):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
"""


def functional_gradient(setting: Setting) -> None:
    def loss(parameters: dict[str, Tensor]) -> Tensor:
        outputs, _ = torch.func.functional_call(setting.rnn, parameters, setting.arguments)
        return outputs.square().sum()

    found = torch.func.grad(loss)(dict(setting.rnn.named_parameters()))
    reference = setting.reference()
    outputs = setting.values(reference)[0]
    agree(
        list(found.values()), list(torch.autograd.grad(outputs.square().sum(), list(reference.parameters())))
    )


def jacobian(setting: Setting) -> None:
    found = torch.func.jacrev(lambda x: setting.values(setting.rnn, x)[0].sum(1))(setting.x)
    reference = setting.reference()
    expected = torch.autograd.functional.jacobian(lambda x: setting.values(reference, x)[0].sum(1), setting.x)
    agree([found], [expected])


def mapped(setting: Setting) -> None:
    """Over inputs and states, and over lengths where there are some."""
    xs, states = (
        torch.stack([setting.x, 0.5 * setting.x]),
        setting.state.map(lambda one: torch.stack([one, -one])),
    )
    lengths = None if setting.lengths is None else torch.stack([setting.lengths, setting.lengths.flip(0)])
    found = torch.vmap(setting.rnn, in_dims=(0, 0, None if lengths is None else 0))(xs, states, lengths)[0]
    reference = setting.reference()
    for number in range(2):
        own = None if lengths is None else lengths[number]
        expected, _ = reference(xs[number], states.map(lambda one, at=number: one[at]), own)
        agree([found[number]], [expected])


def forward_mode(setting: Setting) -> None:
    direction = torch.randn_like(setting.x)
    _, found = torch.func.jvp(lambda x: setting.values(setting.rnn, x)[0], (setting.x,), (direction,))
    reference = setting.reference()
    full = torch.autograd.functional.jacobian(lambda x: setting.values(reference, x)[0], setting.x)
    agree([found], [(full * direction).sum((3, 4, 5))])


def second_derivatives(setting: Setting) -> None:
    def twice(rnn: nn.Module) -> list[Tensor]:
        x = setting.x.clone().requires_grad_()
        (first,) = torch.autograd.grad(setting.loss(rnn, x), x, create_graph=True)
        return list(torch.autograd.grad(first.square().sum(), [x, *rnn.parameters()]))

    agree(twice(setting.rnn), twice(setting.reference()))


def checkpointed(setting: Setting) -> None:
    from torch.utils.checkpoint import checkpoint

    for reentrant in (True, False):
        x = setting.x.clone().requires_grad_()
        outputs = checkpoint(lambda x: setting.values(setting.rnn, x)[0], x, use_reentrant=reentrant)
        found = torch.autograd.grad if not reentrant else None
        if found is None:
            outputs.square().sum().backward()
            gradient = x.grad
        else:
            (gradient,) = found(outputs.square().sum(), x)
        reference, y = setting.reference(), setting.x.clone().requires_grad_()
        agree([gradient], list(torch.autograd.grad(setting.values(reference, y)[0].square().sum(), y)))


def copied(setting: Setting) -> None:
    setting.values(setting.rnn)
    copy_ = copy.deepcopy(setting.rnn)
    agree(setting.gradients(copy_), setting.gradients(setting.reference()))


def pickled(setting: Setting) -> None:
    setting.values(setting.rnn)
    again = pickle.loads(pickle.dumps(setting.rnn))  # noqa: S301
    agree(setting.gradients(again), setting.gradients(setting.reference()))


def inference(setting: Setting) -> None:
    """Under it, a layer made in it, and training afterwards."""
    with torch.inference_mode():
        agree(setting.values(setting.rnn), setting.values(setting.reference()))
        inside = Setting(setting.backend, "even" if setting.lengths is None else "ragged")
    with torch.no_grad():  # parameters of inference mode have no gradients
        agree(inside.values(inside.rnn), setting.values(setting.reference()))
    agree(setting.gradients(setting.rnn), setting.gradients(setting.reference()))


def autocast(setting: Setting) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values, gradients = setting.values(setting.rnn), setting.gradients(setting.rnn)
    agree([value.float() for value in values], setting.values(setting.reference()), 0.1)
    expected = setting.gradients(setting.reference())
    scale = max(one.abs().max().item() for one in expected)
    agree([one.float() / scale for one in gradients], [one / scale for one in expected], 0.1)


def data_parallel(setting: Setting) -> None:
    """Two ranks, of which one has an empty batch in the first round."""
    from torch import multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.spawn(
            _rank, (folder, setting.backend, setting.lengths is not None), nprocs=2, join=False
        )
        while not context.join(timeout=90):
            pass


def _rank(rank: int, folder: str, backend: str, ragged: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    setting = Setting(backend, "ragged" if ragged else "even")
    layer = nn.parallel.DistributedDataParallel(setting.rnn)
    rows = slice(0, BATCH if rank else 0)
    lengths = None if setting.lengths is None else setting.lengths[rows]
    outputs, _ = layer(setting.x[rows], setting.state.map(lambda one: one[rows]), lengths)
    (2.0 * outputs.square().sum()).backward()  # the mean over two ranks, of which one has no rows
    reference = setting.reference()
    setting.values(reference)[0].square().sum().backward()
    agree(
        [parameter.grad for parameter in setting.rnn.parameters()],
        [parameter.grad for parameter in reference.parameters()],
    )
    torch.distributed.destroy_process_group()


def fully_sharded(setting: Setting) -> None:
    """FSDP2 on one rank, whose parameters are DTensors outside the call."""
    from torch.distributed import fsdp

    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1
        )
        expected = setting.values(setting.reference())
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        layer = fsdp.fully_shard(setting.rnn, mesh=mesh)
        values = setting.values(layer)
        values[0].square().sum().backward()
        agree(values, expected)
        torch.distributed.destroy_process_group()


# By the name in the table; the first ones are tried in a process of their own, since their first call matters.
FRESH = {
    "torch.compile": compiled,
    "torch.compile(fullgraph=True)": compiled_whole,
    "torch.export, saved and loaded elsewhere": exported,
    "DistributedDataParallel": data_parallel,
    "FSDP2 (fully_shard)": fully_sharded,
}
TRANSFORMATIONS = FRESH | {
    "torch.func.grad": functional_gradient,
    "torch.func.jacrev": jacobian,
    "torch.vmap": mapped,
    "torch.func.jvp": forward_mode,
    "second derivatives": second_derivatives,
    "torch.utils.checkpoint": checkpointed,
    "copy.deepcopy": copied,
    "pickle": pickled,
    "torch.inference_mode": inference,
    "torch.autocast": autocast,
}


def outcome(name: str, backend: str, rows: str) -> str:
    """ "works", or the line that refuses."""
    try:
        TRANSFORMATIONS[name](Setting(backend, rows))
    except RecurraError as error:
        return str(error)
    except torch._dynamo.exc.Unsupported as error:  # which quotes our line
        quoted = re.search(
            r"(?:Message: |BackendError\(\")(backend '.*?)(?:\"\))?$", str(error), re.MULTILINE
        )
        if quoted is None:
            raise
        return quoted[1]
    return "works"


def outcome_elsewhere(name: str, backend: str, rows: str) -> str:
    """`outcome` in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, name, backend, rows],
        capture_output=True, text=True, check=False, timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, f"{name} on {backend}, {rows} rows: {done.stderr[-3000:]}"
    return str(json.loads(done.stdout.splitlines()[-1]))


def shown(name: str, backend: str, rows: str) -> str:
    """A cell of the table: "works", or which backend works instead."""
    found = outcome_elsewhere(name, backend, rows)
    print(name, backend, rows, found, sep=": ", file=sys.stderr, flush=True)
    if found == "works":
        # In the interpreter; on a GPU nothing of it has been seen.
        return "works" if backend != "gpu" else "not tried"
    others = [other for other in BACKENDS if other != backend and f"'{other}'" in found]
    return f"no: `{others[-1]}`"


def table() -> str:
    """The whole table, as Markdown; several minutes."""
    every = list(itertools.product(TRANSFORMATIONS, BACKENDS, ROWS))
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(every, pool.map(lambda one: shown(*one), every), strict=True))
    lines = [
        f"| | {' | '.join(f'`{backend}`' for backend in BACKENDS)} |",
        f"|---|{'---|' * len(BACKENDS)}",
    ]
    for name in TRANSFORMATIONS:
        cells = []
        for backend in BACKENDS:
            even, ragged = (found[name, backend, rows] for rows in ROWS)
            cells.append(even if even == ragged else f"{even}; ragged {ragged}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def documented() -> dict[tuple[str, str, str], str]:
    """The cells of the table in docs/engine.md, by name, backend and rows."""
    inside = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    found = {}
    for line in inside.strip().splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for backend, cell in zip(BACKENDS, cells, strict=True):
            even, _, ragged = cell.partition("; ragged ")
            found |= {(name, backend, "even"): even, (name, backend, "ragged"): ragged or even}
    return found


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        made = table()
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        print(json.dumps(outcome(*sys.argv[1:])))


if __name__ == "__main__":
    main()
