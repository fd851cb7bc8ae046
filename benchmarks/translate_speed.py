"""Translation, training and decoding, against the same model and the same search in plain PyTorch.

    python benchmarks/translate_speed.py --data FOLDER [--repeats 5]

FOLDER holds `tok/` of Multi30k, files plain or .gz.

Training: 2 x 256 LSTM with general attention, 8,000 types, batches of 4,000 source and target symbols of pairs of
similar length, forward, backward, clipping and Adam, in turn in one process. With input feeding against a loop over
`nn.LSTMCell`, without against `nn.LSTM` over the whole target; the encoder of both is ragged, the peer's by
`nn.LSTM` with packing. Peer and recurra start with the same weights, and their losses are compared.

Decoding: test2016 with a beam of 5, against the same search written as a plain loop sentence by sentence; that the
outputs are the same is checked. The weights are those after a short training, so that the lengths are natural.

JoeyNMT: training and decoding at the sizes, vocabularies and batches at which JoeyNMT 2.3 trained 750 to 800 target
tokens a second and decoded 50 sentences a second with a beam of 5, on two cores whose matrix products ran at 167 to 180
GFLOP/s: bidirectional LSTM of 2 x 256, decoder 512, embeddings 256, additive attention, input feeding, words seen
twice, 80 sentences a batch in the mean, dropout 0.3, label smoothing 0.1.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from multi30k_files import tokenised
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra import convert
from recurra.contracts import Batch
from recurra.data.dataset import Dataset
from recurra.data.pair_batches import pair_batches
from recurra.data.pair_split import Pairs
from recurra.data.pairs import PairConfig, load_pairs
from recurra.decode import BeamConfig
from recurra.inspection.machine import describe
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.tasks.translation_search import search

JOEYNMT = {"target_tokens_per_second": 775.0, "sentences_per_second": 50.0}
TYPES, HIDDEN, LAYERS, BATCH_TOKENS = 8000, 256, 2, 4000
SMOOTHING = 0.1


class Peer(nn.Module):
    """The same model on PyTorch's own layers, with the weights of a recurra one."""

    def __init__(self, ours: EncoderDecoder) -> None:
        super().__init__()
        self.feeding = ours.config.input_feeding
        self.source, self.target = (
            nn.Embedding.from_pretrained(weight.detach().clone(), freeze=False)
            for weight in (ours.source_embedding, ours.target_embedding)
        )
        self.encoder = convert.to_torch(ours.encoder)
        decoder = convert.to_torch(ours.decoder.layers[0])
        self.decoder = self._cells(decoder) if self.feeding else decoder
        self.bridges = nn.ModuleList(
            nn.ModuleList(self._linear(layer) for layer in ours.bridges[name]) for name in ("h", "c")
        )
        self.key = nn.Linear(ours.decoder.attention.key_weight.shape[1], HIDDEN, bias=False)
        self.key.weight.data.copy_(ours.decoder.attention.key_weight)
        self.readout = self._linear(ours.decoder.readout)
        self.output = nn.Linear(*reversed(ours.output_weight.shape))
        self.output.weight.data.copy_(ours.output_weight)
        self.output.bias.data.copy_(ours.output_bias)

    @staticmethod
    def _linear(layer: nn.Linear) -> nn.Linear:
        copy = nn.Linear(layer.in_features, layer.out_features)
        copy.load_state_dict(layer.state_dict())
        return copy

    @staticmethod
    def _cells(layers: nn.LSTM) -> nn.ModuleList:
        cells = nn.ModuleList()
        for index in range(layers.num_layers):
            weight = getattr(layers, f"weight_ih_l{index}")
            cell = nn.LSTMCell(weight.shape[1], layers.hidden_size)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(cell, name).data.copy_(getattr(layers, f"{name}_l{index}"))
            cells.append(cell)
        return cells

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
        """The memory `[B, Tx, M]`, the decoder's first states, and where the padding is `[B, Tx]`."""
        packed = pack_padded_sequence(self.source(source), lengths, batch_first=True, enforce_sorted=False)
        outputs, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        starts = [
            torch.tanh(layer(torch.cat([state[2 * index], state[2 * index + 1]], dim=1)))
            for state, bridge in zip(last, self.bridges, strict=True)
            for index, layer in enumerate(bridge)
        ]
        states = list(zip(starts[:LAYERS], starts[LAYERS:], strict=True))
        return memory, states, torch.arange(source.shape[1]) >= lengths[:, None]

    def attend(self, query: Tensor, memory: Tensor, keys: Tensor, padding: Tensor) -> Tensor:
        """The features `[B, K, H]` of queries `[B, K, H]`."""
        energies = torch.bmm(query, keys.transpose(1, 2)).masked_fill(padding[:, None], -math.inf)
        context = torch.bmm(torch.softmax(energies, dim=-1), memory)
        return torch.tanh(self.readout(torch.cat([query, context], dim=-1)))

    def step(self, x: Tensor, fed: Tensor, states: list, memory: tuple) -> tuple[Tensor, list]:
        """One step of input feeding: the features `[B, H]` and the new states."""
        x, new = torch.cat([x, fed], dim=1), []
        for cell, state in zip(self.decoder, states, strict=True):
            new.append(cell(x, state))
            x = new[-1][0]
        return self.attend(x[:, None], *memory)[:, 0], new

    def forward(self, batch: Batch) -> Tensor:
        """The sum of the label-smoothed cross-entropy over the true target symbols."""
        values, states, padding = self.encode(batch.inputs, batch.lengths)
        memory = (values, self.key(values), padding)
        embedded = functional.pad(self.target(batch.targets[:, :-1]), (0, 0, 1, 0))
        if self.feeding:
            fed, features = embedded.new_zeros(len(embedded), HIDDEN), []
            for t in range(embedded.shape[1]):
                fed, states = self.step(embedded[:, t], fed, states, memory)
                features.append(fed)
            together = torch.stack(features, dim=1)
        else:
            h, _ = self.decoder(embedded, tuple(torch.stack(one) for one in zip(*states, strict=True)))
            together = self.attend(h, *memory)
        present = torch.arange(batch.targets.shape[1]) < batch.target_lengths[:, None]
        logits = self.output(together[present])
        return functional.cross_entropy(
            logits, batch.targets[present], reduction="sum", label_smoothing=SMOOTHING
        )


def updates(model: nn.Module, batches: list[Batch]) -> Callable[[], float]:
    """A function that trains one epoch over the batches, and returns its seconds."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def train() -> float:
        began = time.perf_counter()
        for batch in batches:
            optimiser.zero_grad()
            loss = model(batch)
            loss = loss[0] if isinstance(loss, tuple) else loss
            (loss / batch.tokens).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        return time.perf_counter() - began

    return train


def in_turn(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median seconds of each, one after the other over and over; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats + 1):
        for name, run in runs.items():
            took = run()
            if number:
                seconds[name].append(took)
    return {name: statistics.median(times) for name, times in seconds.items()}


def corpus_of(folder: Path, size: int | None = None, minimum_count: int = 1) -> Dataset[Pairs]:
    """Multi30k, German to English, in words, the most frequent `size` types, each seen `minimum_count` times."""
    return load_pairs(PairConfig(**tokenised(folder), maximum_size=size, minimum_count=minimum_count))


def sizes(corpus: Dataset[Pairs]) -> tuple[int, int]:
    """The number of types of both sides."""
    return len(corpus.vocabularies["source"]), len(corpus.vocabularies["target"])


def training(corpus: Dataset[Pairs], feeding: bool, repeats: int, count: int) -> dict[str, float]:
    """Source and target tokens a second of both, and their ratio."""
    torch.manual_seed(1)
    config = EncoderDecoderConfig(
        hidden_size=HIDDEN,
        num_layers=LAYERS,
        embedding_size=HIDDEN,
        energy="general",
        input_feeding=feeding,
        dropout=0.0,
        label_smoothing=SMOOTHING,
    )
    ours = EncoderDecoder(config, *sizes(corpus))
    peer = Peer(ours)
    batches = list(pair_batches(corpus.train, BATCH_TOKENS, seed=1, epoch=0)[:count])
    same = float(ours(batches[0])[0].detach()), float(peer(batches[0]).detach())
    if abs(same[0] - same[1]) > 1e-4 * same[0]:
        raise SystemExit(f"translate_speed: the two models differ: losses {same[0]} and {same[1]}.")
    seconds = in_turn({"recurra": updates(ours, batches), "torch": updates(peer, batches)}, repeats)
    tokens = sum(batch.tokens + int(batch.lengths.sum()) for batch in batches)
    rates = {name: tokens / took for name, took in seconds.items()}
    return {**rates, "ratio": rates["recurra"] / rates["torch"]}


@torch.no_grad()
def plain_search(peer: Peer, source: Tensor, beam_size: int, alpha: float) -> list[int]:
    """The best target of one source `[Tx]` by the search of `recurra.decode`, hypothesis by hypothesis."""
    values, states, padding = peer.encode(source[None], torch.tensor([len(source)]))
    memory = (values, peer.key(values), padding)
    most = int(1.5 * len(source)) + 10
    live = [([], 0.0, values.new_zeros(1, HIDDEN), states, torch.zeros(1, HIDDEN))]
    pool: list[tuple[float, list[int]]] = []
    for length in range(1, most + 1):
        candidates = []
        for ids, total, fed, carried, x in live:
            features, new = peer.step(x, fed, carried, memory)
            log_probs = torch.log_softmax(peer.output(features)[0], dim=0)
            pool.append(((total + float(log_probs[0])) / length**alpha, [*ids, 0]))
            log_probs[0] = -math.inf
            best, symbols = log_probs.topk(beam_size)
            for log_prob, symbol in zip(best.tolist(), symbols.tolist(), strict=True):
                candidates.append((total + log_prob, [*ids, symbol], features, new))
        pool = sorted(pool, key=lambda one: -one[0])[:beam_size]
        candidates = sorted(candidates, key=lambda one: -one[0])[:beam_size]
        live = [
            (ids, total, features, new, peer.target(torch.tensor(ids[-1:])))
            for total, ids, features, new in candidates
        ]
        if len(pool) == beam_size and live[0][1] / most**alpha <= pool[-1][0]:
            break
    return pool[0][1]


def peak_mib() -> float:
    """The most memory this process has held; getrusage would count what its parent held when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def decoder() -> EncoderDecoderConfig:
    """The model whose decoding is timed."""
    return EncoderDecoderConfig(
        hidden_size=HIDDEN, num_layers=LAYERS, embedding_size=HIDDEN, energy="general", input_feeding=True
    )


def decode(kind: str, folder: Path, weights: str) -> tuple[list[list[int]], float, float]:
    """The outputs for test2016, the seconds they took, and this process's peak memory in MiB."""
    corpus = corpus_of(folder, TYPES)
    ours = EncoderDecoder(decoder(), *sizes(corpus)).eval()
    ours.load_state_dict(load_file(weights))
    sources = list(corpus.test.sources)
    beam = BeamConfig(beam_size=5, length_penalty=0.7)
    if kind == "recurra":
        list(search(ours, sources[:64], beam, stop=0))
        began = time.perf_counter()
        found = dict(search(ours, sources, beam, stop=0))
        seconds = time.perf_counter() - began
        outputs = [found[index][0].ids.tolist() for index in range(len(sources))]
    else:
        peer = Peer(ours).eval()
        began = time.perf_counter()
        outputs = [plain_search(peer, torch.from_numpy(source), 5, 0.7) for source in sources]
        seconds = time.perf_counter() - began
    return outputs, seconds, peak_mib()


def decoding(corpus: Dataset[Pairs], folder: Path, updates_first: int) -> dict[str, float]:
    """Sentences a second and peak memory of both, after a short training, and how many outputs are the same."""
    torch.manual_seed(1)
    ours = EncoderDecoder(decoder(), *sizes(corpus))
    updates(ours, list(pair_batches(corpus.train, BATCH_TOKENS, seed=1, epoch=0)[:updates_first]))()
    with tempfile.TemporaryDirectory() as scratch:
        weights = str(Path(scratch) / "weights.safetensors")
        save_file(ours.state_dict(), weights)
        results = {}
        for kind in ("recurra", "plain"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                results[kind] = pool.apply(decode, (kind, folder, weights))
    (ours_found, seconds, peak), (plain_found, plain_seconds, plain_peak) = results.values()
    same = sum(one == other for one, other in zip(ours_found, plain_found, strict=True))
    return {
        "recurra": len(ours_found) / seconds,
        "plain": len(plain_found) / plain_seconds,
        "ratio": plain_seconds / seconds,
        "same_outputs": same / len(ours_found),
        "peak_mib": round(peak),
        "plain_peak_mib": round(plain_peak),
    }


def joeynmt_sizes(folder: Path, repeats: int, count: int, updates_first: int) -> dict[str, float]:
    """Target tokens and sentences a second at JoeyNMT's sizes, and over JoeyNMT's own."""
    corpus = corpus_of(folder, minimum_count=2)
    torch.manual_seed(1)
    config = EncoderDecoderConfig(
        hidden_size=512,
        encoder_hidden_size=256,
        embedding_size=256,
        energy="additive",
        input_feeding=True,
        dropout=0.3,
        label_smoothing=SMOOTHING,
    )
    model = EncoderDecoder(config, *sizes(corpus))
    batches = list(pair_batches(corpus.train, 80 * 28, seed=1, epoch=0)[:count])  # 80 pairs in the mean
    seconds = in_turn({"training": updates(model, batches)}, repeats)["training"]
    tokens = sum(batch.tokens for batch in batches) / seconds
    updates(model, list(pair_batches(corpus.train, BATCH_TOKENS, seed=1, epoch=1)[:updates_first]))()
    model.eval()
    sources = list(corpus.test.sources)
    beam = BeamConfig(beam_size=5)
    list(search(model, sources[:64], beam, stop=0))
    began = time.perf_counter()
    list(search(model, sources, beam, stop=0))
    sentences = len(sources) / (time.perf_counter() - began)
    return {
        "target_tokens_per_second": tokens,
        "over_joeynmt_training": tokens / JOEYNMT["target_tokens_per_second"],
        "sentences_per_second": sentences,
        "over_joeynmt_decoding": sentences / JOEYNMT["sentences_per_second"],
    }


def main() -> None:
    """Time it, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--updates", type=int, default=200, help="of training before decoding")
    parser.add_argument("--parts", nargs="+", default=["feeding", "whole", "decoding", "joeynmt"])
    options = parser.parse_args()
    corpus = corpus_of(options.data, TYPES)
    figures: dict[str, object] = {}
    for part in options.parts:
        if part == "decoding":
            figures[part] = decoding(corpus, options.data, options.updates)
        elif part == "joeynmt":
            figures[part] = joeynmt_sizes(options.data, options.repeats, options.batches, options.updates)
        else:
            figures[part] = training(corpus, part == "feeding", options.repeats, options.batches)
        print(part, figures[part], flush=True)
    print(json.dumps({**figures, **describe()}))


if __name__ == "__main__":
    main()
