"""The faults that `mutants.py` puts into the sources, and the tests that must notice each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: below src/recurra.
        what: what is wrong with it.
        old: the text that is changed; it occurs once in the file.
        new: what it becomes.
        tests: files below tests, or tests in them as pytest names them; one of them must fail.
    """

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]


CELLS = [
    Mutant(
        "cells/gru.py",
        "the sign of the update gate",
        "return (1 - update) * candidate + update * h",
        "return (1 - update) * h + update * candidate",
        ("layers/test_convert_torch.py",),
    ),
    Mutant(
        "cells/lstm.py",
        "what is kept follows another gate",
        " c = update * candidate + (1 - update) * c\n",
        " c = update * candidate + (1 - output) * c\n",
        ("engine/test_grid.py::test_agrees_with_oracle",),
    ),
    Mutant(
        "cells/transform.py",
        "zoneout keeps the new value where it should keep the old",
        "name=zoneout_mask(state)), old, output)",
        "name=zoneout_mask(state)), output, old)",
        ("layers/test_regularisation.py",),
    ),
    Mutant(
        "cells/transform.py",
        "zoneout's expectation does not sum to one",
        "values=(1.0 - rate,)",
        "values=(1.0,)",
        ("layers/test_regularisation.py",),
    ),
    Mutant(
        "cells/trace.py",
        "new states in another order",
        'return [tracer._index(operand(tracer, value, "the new states")) for value in returned]',
        'return [tracer._index(operand(tracer, value, "the new states")) for value in returned[::-1]]',
        ("cells/test_trace.py",),
    ),
    Mutant(
        "cells/derivative.py",
        "the sign of a difference",
        'tape.give(node.args[1], tape.add("neg", d))',
        "tape.give(node.args[1], d)",
        ("cells/test_derivative.py",),
    ),
    Mutant(
        "cells/derivative.py",
        "the whole gradient to both operands at a tie",
        'tape.add("mul", d, tape.number(0.5))',
        'tape.add("mul", d, tape.number(1.0))',
        ("cells/test_derivative.py",),
    ),
    Mutant(
        "cells/derivative.py",
        "the norm's gradient along its value",
        'inner = tape.add("sub", centred, tape.add("mul", normalised, along))',
        "inner = centred",
        ("cells/test_derivative.py",),
    ),
]


ENGINE = [
    Mutant(
        "engine/reference.py",
        "a step too many in rows of different lengths",
        "(t < call.lengths)[:, None]",
        "(t <= call.lengths)[:, None]",
        ("engine/test_reference.py",),
    ),
    Mutant(
        "engine/chunks.py",
        "every chunk starts from the first state",
        "states = result.states",
        "states = call.states",
        ("engine/test_reference.py",),
    ),
    Mutant(
        "engine/vendor.py",
        "h and c exchanged",
        "for state in states)\n    settings",
        "for state in states[::-1])\n    settings",
        ("engine/test_vendor.py",),
    ),
    Mutant(
        "engine/vendor.py",
        "an LSTM's memory goes on past the length of its row",
        'if call.lengths is not None and name == "lstm":',
        "if False:",
        ("engine/test_grid.py::test_agrees_with_oracle",),
    ),
    Mutant(
        "engine/inputs.py",
        "the bias is dropped",
        "return functional.linear(x.to(dtype), weight, bias)",
        "return functional.linear(x.to(dtype), weight)",
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/plan.py",
        "both halves of a gate have one gradient for the first gate only",
        "for gate in program.gates\n    )",
        "for gate in program.gates[:1]\n    )",
        ("engine/test_grid.py::test_agrees_with_oracle",),
    ),
    Mutant(
        "engine/lower.py",
        "the variance is taken around zero",
        'builder.add("mean", builder.add("mul", centred, centred))',
        'builder.add("mean", builder.add("mul", x, x))',
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/cpu/kernel.py",
        "the weights' gradient meets the state after the step",
        'before[1:] = tensors[f"states_{name}"][:-1]',
        'before[1:] = tensors[f"states_{name}"][1:]',
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/cpu/operator.py",
        "final h and c exchanged",
        '*(tensors[f"final_{name}"] for name in names), *kept]',
        '*(tensors[f"final_{name}"] for name in names[::-1]), *kept]',
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/cpu/emit.py",
        "an empty row ends with the state of the row before",
        'f"length ? c.p[P_states_{state}]',
        'f"true ? c.p[P_states_{state}]',
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/stage_writer.py",
        "the outputs' gradient arrives at the last state",
        "first = node.name == self.program.states[0]",
        "first = node.name == self.program.states[-1]",
        (
            "engine/cpu/test_kernel.py::test_any_cell",
            "engine/test_stage_writer.py",
        ),
    ),
    Mutant(
        "engine/cpu/pointwise.py",
        "a vector's gradient is that of one step",
        'return self.write(place, f"{self.read(place)} + {value}")',
        "return self.write(place, value)",
        ("engine/cpu/test_kernel.py::test_any_cell",),
    ),
    Mutant(
        "engine/cpu/vector.h",
        "a series is cut off too early",
        "SINGLE ? 8 : 14",
        "SINGLE ? 8 : 12",
        ("engine/cpu/test_vector.py",),
    ),
    Mutant(
        "engine/cpu/vector.h",
        "tanh of negative numbers",
        "return with_sign_of(x, -decay / (decay + splat(2)));",
        "return -decay / (decay + splat(2));",
        ("engine/cpu/test_vector.py",),
    ),
    Mutant(
        "engine/rounding.py",
        "a scale for both matrices' rows alike",
        "torch.cat(rows, 1).abs().amax(1)",
        "rows[0].abs().amax(1)",
        ("layers/test_streaming.py",),
    ),
    Mutant(
        "engine/deferred_gradients.py",
        "what another backward pass added is kept",
        "if task != self._task:",
        "if self._task < 0:",
        (
            "engine/test_deferred_gradients.py",
            "layers/test_unroll.py",
            "layers/test_attention_steps.py",
        ),
    ),
    Mutant(
        "engine/stage_writer.py",
        "the bounds of a clamp exchanged",
        'zip("<>", node.values, strict=True)',
        'zip("><", node.values, strict=True)',
        ("engine/test_stage_writer.py", "engine/cpu/test_kernel.py"),
    ),
    Mutant(
        "engine/stage_writer.py",
        "gates of hidden halves counted among those of the inputs",
        'if array == "d_hidden" else self.program.input_gates',
        'if array == "" else self.program.input_gates',
        ("engine/test_stage_writer.py", "engine/cpu/test_unroll.py", "engine/gpu/test_kernel.py"),
    ),
    Mutant(
        "engine/gpu/emit.py",
        "a carried gradient is read from the half that is being written",
        '"(t + 1) % 2"',
        '"t % 2"',
        ("engine/gpu/test_emit.py", "engine/gpu/test_kernel.py"),
    ),
    Mutant(
        "engine/gradients.py",
        "gates that do not stand together share a product",
        "together = numbers == list(",
        "together = True or list(",
        ("engine/test_gradients.py",),
    ),
    Mutant(
        "engine/cpu/packing.py",
        "the tiles of units interleaved",
        "places[:, :, number] = whole.unflatten(0, (tiles, width)).mT",
        "places[:, :, number] = whole.unflatten(0, (width, tiles)).transpose(0, 1).mT",
        ("engine/cpu/test_packing.py",),
    ),
    Mutant(
        "engine/gpu/functions.py",
        "padding is added to a vector's gradient",
        "tl.sum(tl.where(live, value, 0.0), 0)",
        "tl.sum(value, 0)",
        ("engine/gpu/test_functions.py", "engine/gpu/test_kernel.py"),
    ),
]


LAYERS = [
    Mutant(
        "layers/heads.py",
        "the loss is sampled in evaluation too",
        "if training and self.sampled_softmax:",
        "if self.sampled_softmax:",
        ("layers/test_heads.py",),
    ),
    Mutant(
        "layers/heads.py",
        "the input before the first symbol is the first one's",
        "return vectors.masked_fill((inputs < 0).unsqueeze(-1), 0.0)",
        "return vectors",
        ("layers/test_heads.py",),
    ),
    Mutant(
        "layers/regularisation.py",
        "zoneout keeps as many as it should renew",
        "device=like.device) < rate",
        "device=like.device) >= rate",
        ("layers/test_regularisation.py",),
    ),
    Mutant(
        "layers/layouts.py",
        "the sign of a negated gate is kept",
        "[-parts[gate] if gate in negated else parts[gate]",
        "[parts[gate] if gate in negated else parts[gate]",
        ("layers/test_layouts.py",),
    ),
    Mutant(
        "cells/drawing.py",
        "weights that will be overwritten are drawn",
        "return _drawing.get()",
        "return True",
        ("cells/test_drawing.py",),
    ),
]


DECODE = [
    Mutant(
        "decode/scores.py",
        "the length penalty of GNMT",
        "(5 + lengths) / 6",
        "(6 + lengths) / 7",
        ("decode/test_scores.py",),
    ),
    Mutant(
        "decode/scores.py",
        "coverage counts padding",
        "covered.where(real, 0.0)",
        "covered",
        ("decode/test_scores.py",),
    ),
    Mutant(
        "decode/beam.py",
        "the length penalty of a symbol less",
        "scores = ended / self.penalties[self.length] + covered",
        "scores = ended / self.penalties[self.length - 1] + covered",
        ("decode/test_beam.py",),
    ),
    Mutant(
        "decode/beam.py",
        "hypotheses are pruned that could still win",
        "bound = torch.maximum(best / furthest, best / soonest)",
        "bound = best / soonest",
        ("decode/test_beam.py",),
    ),
    Mutant(
        "decode/hypotheses.py",
        "a tie goes to who came last",
        "torch.cat([mine[sources], theirs], 1)",
        "torch.cat([theirs, mine[sources]], 1)",
        ("decode/test_hypotheses.py",),
    ),
    Mutant(
        "decode/greedy_search.py",
        "the limit comes a symbol late",
        "last = limits == length",
        "last = limits < length",
        ("decode/test_greedy_search.py",),
    ),
    Mutant(
        "decode/drawing.py",
        "top-p keeps the least probable",
        "scaled.sort(stable=True, dim=1, descending=True)",
        "scaled.sort(stable=True, dim=1)",
        ("decode/test_sampling.py",),
    ),
    Mutant(
        "decode/drawing.py",
        "top-p leaves out the symbol that reaches it",
        "torch.nn.functional.pad(probabilities.cumsum(1)[:, :-1], (1, 0))",
        "probabilities.cumsum(1)",
        ("decode/test_sampling.py",),
    ),
    Mutant(
        "decode/drawing.py",
        "top-p before top-k",
        "probabilities = ordered.softmax(1)",
        "probabilities = scaled.sort(stable=True, dim=1, descending=True)[0].softmax(1) * (ordered > -math.inf)",
        ("decode/test_sampling.py",),
    ),
    Mutant(
        "decode/sampling.py",
        "all samples share their random numbers",
        "spawn_key=(number,)",
        "spawn_key=(0,)",
        ("decode/test_sampling.py",),
    ),
    Mutant(
        "decode/drawing.py",
        "what comes is drawn as ids, whatever the step says",
        'if step.distribution == "bernoulli"',
        "if False",
        ("decode/test_drawing.py", "decode/test_ensemble.py"),
    ),
    Mutant(
        "decode/checks.py",
        "a limit below the minimum length passes",
        "if sources and int(limits.min()) < min_length:",
        "if sources and int(limits.max()) < min_length:",
        ("decode/test_checks.py",),
    ),
    Mutant(
        "decode/hypotheses.py",
        "attention of a row further down",
        "attention.append(self.attention[step][here])",
        "attention.append(self.attention[step][here.flip(0)])",
        ("decode/test_hypotheses.py",),
    ),
    Mutant(
        "decode/ensemble.py",
        "an ensemble forgets how symbols are distributed",
        "        steps[0].distribution,\n",
        "",
        ("decode/test_ensemble.py",),
    ),
    Mutant(
        "decode/ensemble.py",
        "the mean of logarithms",
        "log_probs.logsumexp(0) - math.log(len(steps))",
        "log_probs.mean(0)",
        ("decode/test_ensemble.py",),
    ),
    Mutant(
        "decode/target_scores.py",
        "the last symbol does not count",
        "of_symbols.where(lengths[sources] > position, 0.0)",
        "of_symbols.where(lengths[sources] > position + 1, 0.0)",
        ("decode/test_target_scores.py",),
    ),
    Mutant(
        "decode/symbols.py",
        "ties within topk go anywhere",
        "if bool(tied.any()):",
        "if False:",
        ("decode/test_symbols.py",),
    ),
]


TRAINING = [
    Mutant(
        "training/config.py",
        "a resumed run may change training.bptt",
        "setting(64, at_least=1, fixed=True)",
        "setting(64, at_least=1)",
        ("training/test_loop.py::test_what_a_run_keeps_is_not_changed",),
    ),
    Mutant(
        "training/config.py",
        "a resumed run may change training.accumulate",
        "setting(1, at_least=1, fixed=True)",
        "setting(1, at_least=1)",
        ("training/test_loop.py::test_what_a_run_keeps_is_not_changed",),
    ),
    Mutant(
        "training/optimiser_config.py",
        "a resumed run may change optimiser.name",
        'setting("adamw", fixed=True)',
        '"adamw"',
        ("training/test_loop.py::test_what_a_run_keeps_is_not_changed",),
    ),
    Mutant(
        "training/loop.py",
        "a resumed run begins its epoch anew",
        '"counters": asdict(self.counters),',
        '"counters": asdict(self.counters) | {"index": 0},',
        ("training/test_loop.py::test_stop_and_resume_equals_uninterrupted_bit_for_bit",),
    ),
    Mutant(
        "training/loop.py",
        "every epoch is the first",
        "self.job.batches(self.counters.epoch)",
        "self.job.batches(0)",
        ("training/test_loop.py::test_each_epoch_has_the_batches_of_its_number",),
    ),
    Mutant(
        "training/loop.py",
        "the best weights are overwritten",
        'if self.config.weights == "last" or self.counters',
        'if self.config.weights == "best" or self.counters',
        ("training/test_loop.py",),
    ),
    Mutant(
        "training/update.py",
        "a resumed run draws other random numbers",
        "        unpack_generators(self.device, tensors, source)\n",
        "",
        ("training/test_loop.py::test_stop_and_resume_equals_uninterrupted_bit_for_bit",),
    ),
    Mutant(
        "training/update.py",
        "the mean over one window of several",
        "(loss / max(tokens, 1)).backward()",
        "(loss / max(batch.tokens, 1)).backward()",
        ("training/test_update.py",),
    ),
    Mutant(
        "training/update.py",
        "the state is carried into a new epoch",
        "self.carried if batch.continues else None",
        "self.carried",
        ("training/test_update.py",),
    ),
    Mutant(
        "training/optimiser.py",
        "small gradients are clipped, and large ones are not",
        "if norm <= limit:",
        "if norm >= limit:",
        ("training/test_optimiser.py",),
    ),
    Mutant(
        "training/optimiser.py",
        "biases decay",
        'if p.dim() < 2], "weight_decay": 0.0}',
        'if p.dim() < 2], "weight_decay": decay}',
        ("training/test_optimiser.py",),
    ),
    Mutant(
        "training/schedule.py",
        "the first update has no learning rate",
        "(step + 1) / config.warmup_steps",
        "step / config.warmup_steps",
        ("training/test_schedule.py",),
    ),
    Mutant(
        "training/schedule.py",
        "the cosine rises",
        "0.5 - 0.5 * math.cos(math.pi * left)",
        "0.5 + 0.5 * math.cos(math.pi * left)",
        ("training/test_schedule.py",),
    ),
    Mutant(
        "training/schedule.py",
        "a plateau waits one evaluation longer",
        "self.evaluations_since_best >= self.config.patience",
        "self.evaluations_since_best > self.config.patience",
        ("training/test_schedule.py",),
    ),
    Mutant(
        "training/counters.py",
        "an evaluation that is no better counts as the best",
        "criterion < self.best_criterion",
        "criterion <= self.best_criterion",
        ("training/test_loop.py::test_an_evaluation_that_equals_the_best_is_no_better",),
    ),
    Mutant(
        "training/counters.py",
        "an update may end after the minutes",
        "elapsed + 2.0 * self.update_seconds",
        "elapsed",
        ("training/test_loop.py",),
    ),
    Mutant(
        "training/run_directory.py",
        "metrics of a lost part stay",
        "os.truncate(path, length)",
        "pass",
        ("training/test_run_directory.py",),
    ),
]


METRICS = [
    Mutant(
        "metrics/score.py",
        "the criterion's sign",
        "return -self.value if",
        "return self.value if",
        ("metrics/test_score.py", "metrics/test_evaluation.py"),
    ),
    Mutant(
        "metrics/evaluation.py",
        "the loss decides in place of the score",
        "if self.best_by is None",
        "if self.loss",
        ("metrics/test_evaluation.py",),
    ),
    Mutant(
        "metrics/references.py",
        "a hypothesis without references passes",
        "if isinstance(listed, str) or not listed:",
        "if isinstance(listed, str):",
        ("metrics/test_references.py",),
    ),
    Mutant(
        "metrics/perplexity.py",
        "bits per token",
        "self.nats_sum / math.log(2) / self.characters if",
        "self.nats_sum / math.log(2) / self.tokens if",
        ("metrics/test_perplexity.py",),
    ),
    Mutant(
        "metrics/bleu.py",
        "a reference that is missing is an empty one",
        "if index < len(listed) else None for",
        'if index < len(listed) else "" for',
        ("metrics/test_bleu.py",),
    ),
    Mutant(
        "metrics/bleu.py",
        "sentences without effective order",
        "effective_order=True",
        "effective_order=False",
        ("metrics/test_bleu.py",),
    ),
    Mutant(
        "metrics/error_rates.py",
        "of references as close the shortest",
        "-len(candidate[1])",
        "len(candidate[1])",
        ("metrics/test_error_rates.py",),
    ),
    Mutant(
        "metrics/by_name.py",
        "case always counts",
        "str.lower if self.lowercase else str",
        "str",
        ("metrics/test_by_name.py",),
    ),
]


DATA = [
    Mutant(
        "data/batches.py",
        "the last window is lost",
        "return -(-int(self._lengths[0]) // self._bptt)",
        "return int(self._lengths[0]) // self._bptt",
        ("data/test_batches.py",),
    ),
    Mutant(
        "data/batches.py",
        "windows overlap by a step",
        "begin = window * bptt",
        "begin = window * (bptt - 1)",
        ("data/test_batches.py",),
    ),
    Mutant(
        "data/batches.py",
        "lines are sorted without pools",
        "np.arange(count) // (batch_size * POOL)",
        "np.zeros(count, np.int64)",
        ("data/test_batches.py",),
    ),
    Mutant(
        "data/batches.py",
        "pairs are sorted without pools",
        "np.cumsum(total[order]) // (batch_tokens * POOL)",
        "np.zeros(count, np.int64)",
        ("data/test_pair_batches.py",),
    ),
    Mutant(
        "data/batches.py",
        "the order of resumed runs is another",
        "(*(side[order] for side in reversed(sizes)), pools)",
        "(*(side[order] for side in sizes), pools)",
        ("data/test_batches.py",),
    ),
    Mutant(
        "data/batches.py",
        "the last window of long examples is lost",
        "-(-longest // window)",
        "longest // window",
        ("data/test_batches.py",),
    ),
    Mutant(
        "data/labels.py",
        "the labels are not sorted",
        "cls(by_falling_count(counts))",
        "cls(list(counts))",
        ("data/test_labels.py",),
    ),
    Mutant(
        "data/vocabularies.py",
        "a digest depends on the order of the names",
        "for name in sorted(self):",
        "for name in self:",
        ("data/test_vocabularies.py",),
    ),
    Mutant(
        "data/vocabularies.py",
        "a joint vocabulary becomes two",
        "by_name |= dict.fromkeys(names, _load_named(subfolder, names))",
        "by_name |= {name: _load_named(subfolder, names) for name in names}",
        ("data/test_vocabularies.py",),
    ),
    Mutant(
        "data/vocabulary.py",
        "a literal <eos> ends a line",
        "self.eos_id, UNK: self.unk_id} |",
        "self.eos_id, UNK: self.unk_id, EOS: self.eos_id} |",
        ("data/test_vocabulary.py",),
    ),
    Mutant(
        "data/rows.py",
        "a row that is cut keeps a symbol too many",
        "(position < longest - 1)",
        "(position < longest)",
        ("data/test_rows.py",),
    ),
    Mutant(
        "data/vocabulary.py",
        "ids by rising count",
        "(-counts[symbol], symbol)",
        "(counts[symbol], symbol)",
        ("data/test_vocabulary.py",),
    ),
    Mutant(
        "data/pairs.py",
        "the vocabularies see what is held out",
        '_build(splits["train"], config)',
        '_build(splits["valid"], config)',
        ("data/test_pairs.py",),
    ),
    Mutant(
        "data/pair_split.py",
        "an empty target is a reference",
        "[text for text in texts if text] or",
        "list(texts) or",
        ("data/test_pair_split.py",),
    ),
    Mutant(
        "data/parallel.py",
        "pairs with an empty side are held out",
        "if source and target else -1",
        "if source else -1",
        ("data/test_parallel.py",),
    ),
    Mutant(
        "data/subword_sampling.py",
        "both sides draw the same numbers",
        "(seed % 2**64, epoch, self._stream)",
        "(seed % 2**64, epoch, 0)",
        ("data/test_subword_sampling.py",),
    ),
    Mutant(
        "data/corpus.py",
        "the missing last line end is no character",
        "characters + (not ended)",
        "characters",
        ("data/test_corpus.py",),
    ),
]


TASKS = [
    Mutant(
        "tasks/losses.py",
        "perplexity counts padding",
        "            count += number\n",
        "            count += batch.targets.shape[0] * batch.targets.shape[1]\n",
        ("tasks/test_lm.py::test_the_tokens_of_lines_are_those_of_the_text_and_not_the_padding",),
    ),
    Mutant(
        "tasks/lm.py",
        "a continuous text is evaluated in several streams",
        "1 if continuous else config.training.batch_size",
        "config.training.batch_size",
        ("tasks/test_lm.py::test_evaluation_counts_every_token_and_does_not_depend_on_the_window",),
    ),
    Mutant(
        "tasks/averaging.py",
        "the mean's divisor",
        "(total / count)",
        "(total / (count - 1))",
        ("tasks/test_averaging.py",),
    ),
    Mutant(
        "tasks/translation_errors.py",
        "a reference's score without its end",
        "torch.tensor([len(targets[row]) for row in here], device",
        "torch.tensor([len(targets[row]) - 1 for row in here], device",
        ("tasks/test_translation_errors.py",),
    ),
    Mutant(
        "tasks/life.py",
        "a resumed run may have another cell",
        'fingerprint["model.cell"] = program',
        "pass",
        ("tasks/test_life.py",),
    ),
    Mutant(
        "tasks/translations.py",
        "words that were cut off are copied",
        "line.split()[: len(ids) - 1]",
        "line.split()",
        ("tasks/test_translate.py",),
    ),
    Mutant(
        "tasks/lm.py",
        "UNK may be drawn",
        "() if vocabulary.unk_id is None else (vocabulary.unk_id,)",
        "()",
        ("tasks/test_lm.py::test_what_is_unknown_is_never_drawn",),
    ),
    Mutant(
        "tasks/line_scores.py",
        "padding changes a line's score",
        "features[: len(row)]",
        "features[-len(row) :]",
        ("tasks/test_lm.py",),
    ),
]


INSPECTION = [
    Mutant(
        "inspection/curves.py",
        "bits per character among the scores",
        ', "valid_bits_per_character")',
        ")",
        ("inspection/test_curves.py",),
    ),
    Mutant(
        "inspection/gradients.py",
        "a lag too few",
        "min(max_lag + 1, length)",
        "min(max_lag, length)",
        ("inspection/test_gradients.py",),
    ),
    Mutant(
        "inspection/derivative.py",
        "the norm's gradient along its value",
        " - normalised * along) * scale",
        ") * scale",
        ("inspection/test_derivative.py",),
    ),
    Mutant(
        "inspection/saturation.py",
        "every record weighs the same",
        'clipped += since * record["clip_rate"]',
        'clipped += record["clip_rate"]',
        ("inspection/test_saturation.py",),
    ),
    Mutant(
        "inspection/search_errors.py",
        "a tie is the search's fault",
        "self.reference_score > self.output_score",
        "self.reference_score >= self.output_score",
        ("inspection/test_search_errors.py",),
    ),
    Mutant(
        "inspection/score_by_length.py",
        "ranges grow towards the end",
        "left, held = left - held, 0",
        "left, held = left, 0",
        ("inspection/test_score_by_length.py",),
    ),
    Mutant(
        "inspection/trajectory.py",
        "the backward direction reads forwards",
        "read = inputs.flip(1) if direction else inputs",
        "read = inputs",
        ("inspection/test_gradients.py",),
    ),
    Mutant(
        "inspection/jacobian_sweep.py",
        "estimates have the error of sampling with replacement",
        "(1 - probes / size)",
        "1.0",
        ("inspection/test_jacobian_sweep.py",),
    ),
    Mutant(
        "inspection/activations.py",
        "values belong to the symbol before",
        "[0, skip:]",
        "[0, : len(symbols) - skip]",
        ("inspection/test_activations.py",),
    ),
    Mutant(
        "inspection/activations.py",
        "gates of the backward direction in the order of reading",
        "values.flip(1) if",
        "values if",
        ("inspection/test_activations.py",),
    ),
    Mutant(
        "inspection/trajectory.py",
        "rows of one step are kept",
        "if count >= 2]",
        "if count >= 1]",
        ("inspection/test_trajectory.py",),
    ),
    Mutant(
        "inspection/figures.py",
        "a heading takes no room",
        "whole = height + heading",
        "whole = height",
        ("inspection/test_figures.py",),
    ),
    Mutant(
        "inspection/gate_colours.py",
        "diverging colours for shares",
        "np.asarray(sequential()(np.linspace(0.0, 0.85, 256)))",
        "np.asarray(diverging()(np.linspace(0.0, 0.85, 256)))",
        ("inspection/test_gate_colours.py",),
    ),
]


SETTINGS = [
    Mutant(
        "settings.py",
        "the lower end of a range does not belong to it",
        "value >= at_least)",
        "value > at_least)",
        ("test_settings.py",),
    ),
    Mutant(
        "settings.py",
        "true is a whole number",
        "if isinstance(value, bool) or not isinstance(value, int if whole else int | float):",
        "if not isinstance(value, int if whole else int | float):",
        ("test_settings.py",),
    ),
    Mutant(
        "settings.py",
        "a list may be of any length where two numbers are expected",
        "len(value) == len(parts) if origin is tuple else len(value) > 0",
        "len(value) > 0",
        ("test_settings.py",),
    ),
    Mutant(
        "settings.py",
        "files of runs are relative to where training was started",
        "[str(Path(path).resolve()) for path in place[name]]",
        "[str(Path(path)) for path in place[name]]",
        ("test_settings.py",),
    ),
    Mutant(
        "cli/config_files.py",
        "a folder hides the recipe of its name",
        "if path.is_file() or",
        "if path.exists() or",
        ("cli/test_config_files.py",),
    ),
    Mutant(
        "cli/config_files.py",
        "lines of a configuration file are counted from 0",
        "yield name.start_mark.line + 1, key",
        "yield name.start_mark.line, key",
        ("cli/test_config_files.py",),
    ),
    Mutant(
        "cli/options.py",
        "the word none is no text",
        "type(None) in parts and str not in parts and",
        "type(None) in parts and",
        ("cli/test_options.py",),
    ),
]


MUTANTS = [*SETTINGS, *CELLS, *ENGINE, *LAYERS, *DECODE, *TRAINING, *METRICS, *DATA, *TASKS, *INSPECTION]
