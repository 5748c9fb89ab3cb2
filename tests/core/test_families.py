"""Every family: what docs/reference/families.md says of it, its students' configurations, its losses and its answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from core.config import LossSpec, StudentSpec, TrainSpec
from core.data.chat_template import render
from core.data.conversation import context_length
from core.data.packing import Blocks
from core.errors import CompatibilityError, ConfigError, CorruptModelError, UnsupportedModelError
from core.evaluation.language import evaluate_language
from core.evaluation.sentiment import label_scores
from core.evaluation.token_divergence import next_token_logits
from core.generation.batched import Candidates, generate_batch
from core.generation.streaming import generate
from core.models import catalog
from core.models.architectures import ARCHITECTURE_SPECS, architecture_of, with_blocks, without_block
from core.models.compatibility import require_language_model
from core.models.dimensions import Dimensions, ParameterCounter
from core.models.header import read_model_header
from core.models.weight_digests import loaded_hash, weights_hash
from core.recorder import STUDENT, ListRecorder
from core.signals.source import LocalTeacher
from core.students.build import build_student
from core.students.importance import sort_by_importance, unit_importance
from core.students.resizing import Weights, resized
from core.tasks.fine_tuning import fine_tune_and_evaluate
from core.training.base_trainer import training_arguments
from core.training.batches import Batch, Batches, StepSeed, causal_lm_batches
from core.training.distillation_trainer import WEIGHTS, DistillationSetup, DistillationTrainer
from tests.core.chat_models import SENTENCES, chat_tokenizer
from tests.core.families import FAMILIES, LAYERS, OLDER, PAGE, WIDE, cases_of, family_model, is_causal, measure, own_logits, page
from tests.core.tasks.encoders import questions, sentiment, tokenizer
from tests.core.tiny import POSITIONS, VOCABULARY, WIDTH, token_ids

CAUSAL = [case for case in FAMILIES if is_causal(case)]
EXPANDED = [case for case in WIDE if case in FAMILIES]
LENGTH, ROWS = 10, 4

pytestmark = [
    pytest.mark.no_cover,  # the same lines of core/ for each family; tracing transformers' models doubles the time
    # The reference implementation serves; its kernel is for GPUs.
    pytest.mark.filterwarnings("ignore:.*causal_conv1d.*")]


@pytest.mark.parametrize("case", [*FAMILIES, *OLDER])
def test_the_table_holds(case: str) -> None:
    found = measure(case)
    assert found.depth and found.counted and found.adapters >= LAYERS
    assert found.copy_difference == 0 and found.logits_difference < 1e-5
    assert found.width == bool(ARCHITECTURE_SPECS[case.partition(",")[0].removesuffix("-350m")].axes)


def test_the_page_is_what_was_measured() -> None:
    assert all(cases_of(model_type) for model_type in ARCHITECTURE_SPECS)
    assert PAGE.read_text(encoding="utf-8") == page(), "make reference"


@pytest.mark.parametrize("kept", [(0, 3), (0, 2)], ids=["of two kinds", "of one kind"])
@pytest.mark.parametrize("case", FAMILIES)
def test_a_student_that_was_saved_is_its_teacher_without_the_other_blocks(case: str, kept: tuple[int, int], tmp_path: Path) -> None:
    """What the configuration says of single blocks is cut along: kinds of attention, windows, positions, experts."""
    teacher, input_ids = family_model(case), token_ids()
    if (case, kept) == ("lfm2", (0, 2)):  # its cache needs to know how long a text is, which a convolution does not
        with pytest.raises(ConfigError, match="kind full_attention was expected: 1, 3"):
            build_student(teacher, StudentSpec(layer_map=kept), seed=0)
        return
    with without_block(teacher, 1), without_block(teacher, 5 - kept[1]):
        expected = own_logits(teacher, input_ids)
    student = build_student(teacher, StudentSpec(layer_map=kept), seed=0).model
    torch.testing.assert_close(own_logits(student, input_ids), expected, atol=1e-5, rtol=1e-4)
    student.save_pretrained(tmp_path)
    kind = AutoModelForCausalLM if is_causal(case) else AutoModelForMaskedLM
    reloaded = kind.from_pretrained(tmp_path)
    assert torch.equal(own_logits(reloaded, input_ids), own_logits(student, input_ids))
    assert weights_hash(tmp_path) == loaded_hash(reloaded)
    dimensions = read_model_header(tmp_path).dimensions
    assert (dimensions.layers, dimensions.hidden, dimensions.heads) == (2, WIDTH, 4)


def test_both_lists_of_a_configuration_that_speak_of_single_blocks_are_cut() -> None:
    """Other releases of Transformers read GPT-Neo's kinds of attention from the one, or LFM2's from the other."""
    neo = with_blocks(family_model("gpt_neo").config, (0, 2, 3))
    assert neo.attention_layers == neo.expand_attention_types_params(neo.attention_types) == ["global", "global", "local"]
    lfm2 = with_blocks(family_model("lfm2").config, (0, 2, 3))
    assert (lfm2.layer_types, lfm2.full_attn_idxs) == (["conv", "conv", "full_attention"], [2])


@pytest.mark.parametrize("case", EXPANDED)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_wider_and_deeper_model_computes_the_same_and_is_counted_beforehand(case: str, tied: bool) -> None:
    small = Weights.of(family_model(case, tie_word_embeddings=tied))
    old, plain = small.dimensions, small.config.to_dict()
    new = old.with_width(WIDTH * 3 // 2, layers=LAYERS + 1)
    large = resized(small, new, layers=(0, 1, 1, 2, 3), identity=(2,)).model()
    expected = own_logits(small.model(), token_ids())
    assert (own_logits(large, token_ids()) - expected).abs().max() < 1e-3 * max(expected.abs().max(), 1)
    counter = ParameterCounter({name: tuple(tensor.shape) for name, tensor in small.tensors.items()}, plain)
    assert (counter(old), counter(new)) == (small.model().num_parameters(), large.num_parameters())
    assert Dimensions.from_config(large.config) == new


@pytest.mark.parametrize("case", EXPANDED)
def test_units_in_order_of_importance_compute_the_same(case: str) -> None:
    model = family_model(case)
    ordered = sort_by_importance(Weights.of(model), unit_importance(model, [token_ids()])).model()
    assert not torch.equal(ordered.get_input_embeddings().weight, model.get_input_embeddings().weight)
    torch.testing.assert_close(own_logits(ordered, token_ids()), own_logits(model, token_ids()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", ["qwen3_moe", "lfm2", "bloom"])
def test_a_width_that_cannot_be_changed_is_refused_with_its_reason(case: str) -> None:
    reason = ARCHITECTURE_SPECS[case].width_refusal
    with pytest.raises(UnsupportedModelError, match=reason):
        build_student(family_model(case), StudentSpec(layers=2, hidden=16, pruning_criterion="first"), seed=0)


# ---------------------------------------------------------------------------------------------------- losses


def blocks() -> Blocks:
    rng = np.random.default_rng(0)
    ids, weights = rng.integers(5, VOCABULARY, (ROWS, LENGTH)), rng.choice([0.0, 1.0, 2.0], (ROWS, LENGTH))
    return Blocks(ids.astype(np.int32), weights.astype(np.float32), ROWS, ROWS * LENGTH)


def masked_batches(items: Sequence[dict[str, torch.Tensor]], _draw: StepSeed) -> list[Batch]:
    """Every third token is hidden behind another one and labelled; all are distilled."""
    made = []
    for item in items:
        ids = item["input_ids"]
        hidden = (torch.arange(ids.shape[1]) % 3 == 0).expand_as(ids)
        made.append(Batch(input_ids=ids.masked_fill(hidden, 4), attention_mask=torch.ones_like(ids), targets=ids,
                          distill_weights=item["weights"] + 1, label_weights=hidden * (item["weights"] + 1),
                          state_weights=torch.ones_like(item["weights"])))
    return made


def batches_of(case: str) -> Batches:
    return causal_lm_batches if is_causal(case) else masked_batches


def trainer(case: str, directory: Path, losses: LossSpec, recorder: ListRecorder, **changes: Any) -> DistillationTrainer:
    teacher = family_model(case)
    spec = TrainSpec(**{"max_steps": 3, "device": "cpu", "precision": "fp32", "learning_rate": 1e-3, "warmup_ratio": 0.0,
                        "lr_scheduler_type": "constant_with_warmup", "per_device_train_batch_size": ROWS, "max_grad_norm": 1e9,
                        "weight_decay": 0.0, **changes})
    built = build_student(teacher, StudentSpec(layer_map=(0, 3), dropout=None if is_causal(case) else 0.0), seed=1)
    lesson = DistillationSetup(losses, LocalTeacher(teacher), built.layer_map)
    arguments = training_arguments(spec, directory, torch.device("cpu"), eval_steps=1000)
    return DistillationTrainer(built.model, lesson, blocks(), arguments, variant=STUDENT, recorder=recorder, dtype=torch.float32,
                               evaluate=lambda step: {"eval/cross_entropy": 0.0}, batches=batches_of(case))


def naive_loss(case: str, student: PreTrainedModel, teacher: PreTrainedModel, losses: LossSpec) -> torch.Tensor:
    """The weighted terms from the definition, on the logits that the models themselves give."""
    data = blocks()
    items = [{"input_ids": torch.from_numpy(data.input_ids).long(), "weights": torch.from_numpy(data.weights)}]
    batch, = batches_of(case)(items, StepSeed(0, 0))
    mask = torch.ones_like(batch["input_ids"])
    outputs = student(input_ids=batch["input_ids"], attention_mask=mask, output_hidden_states=True)
    with torch.no_grad():
        of_teacher = teacher(input_ids=batch["input_ids"], attention_mask=mask, output_hidden_states=True)
    p, q = (F.softmax(each.logits / losses.temperature, -1) for each in (of_teacher, outputs))

    def kl(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one * (one.log() - other.log())).sum(-1)

    middle = losses.beta * p + (1 - losses.beta) * q
    value = {"forward_kl": lambda: kl(p, q), "reverse_kl": lambda: kl(q, p),
             "jsd": lambda: losses.beta * kl(p, middle) + (1 - losses.beta) * kl(q, middle)}[losses.divergence]()
    soft, hard, compared = (batch[part] for part in WEIGHTS)
    nll = -F.log_softmax(outputs.logits, -1).gather(-1, batch["targets"][..., None])[..., 0]
    cosine = 1 - F.cosine_similarity(outputs.hidden_states[-1], of_teacher.hidden_states[-1], dim=-1)
    pairs = ((1, 1), (2, 4))
    squares = sum((outputs.hidden_states[mine] - of_teacher.hidden_states[theirs]).square().mean(-1) for mine, theirs in pairs) / len(pairs)
    terms = {"kd": (losses.temperature**2 * value, soft), "hard": (nll, hard), "hidden": (cosine, compared),
             "hidden_mse": (squares, compared)}
    return sum(losses.weights()[name].start * (term * counts).sum() / counts.sum() for name, (term, counts) in terms.items())


# The divergences differ in what they make of logits; where the logits come from is each family's own, and the same for all three.
TRANSFORMED = ("gemma2", "granite", "cohere", "qwen3_moe", "deberta-v2")  # capped, divided, multiplied, of experts, of masked tokens
OTHERS = {"reverse": LossSpec(w_kd=1.0, w_hard=0.0, divergence="reverse_kl", temperature=1.5),
          "jsd": LossSpec(w_kd=1.0, w_hard=0.5, divergence="jsd", beta=0.3, temperature=1.0)}


@pytest.mark.parametrize(("case", "losses"), [
    *(pytest.param(case, LossSpec(w_kd=1.0, w_hard=0.5, w_hidden=0.3, w_hidden_mse=0.2, temperature=2.0), id=f"{case}-forward and states")
      for case in FAMILIES),
    *(pytest.param(case, losses, id=f"{case}-{name}") for name, losses in OTHERS.items() for case in TRANSFORMED)])
def test_three_steps_follow_the_gradient_of_the_models_own_logits_and_the_last_of_them_is_resumed(case: str, losses: LossSpec,
                                                                                                    tmp_path: Path) -> None:
    recorder, seen = ListRecorder(), {}
    made = trainer(case, tmp_path, losses, recorder, save_steps=2)
    copied = copy.deepcopy(made.model)

    def keep(*_: object) -> None:
        if not seen:
            seen.update({name: each.grad.clone() for name, each in made.model.named_parameters() if each.grad is not None})

    made.create_optimizer().register_step_pre_hook(keep)
    made.train_from(None)
    expected = naive_loss(case, copied, family_model(case), losses)
    expected.backward()
    series = recorder.series(STUDENT, "loss")
    assert series[1] == pytest.approx(expected.item(), rel=1e-4)
    assert len(series) == 3 and series[3] < series[1]
    assert len(seen) > 10
    for name, parameter in copied.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(seen[name], parameter.grad, rtol=2e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")
    if losses in OTHERS.values():  # what a checkpoint holds is the family's, and the same for all losses
        return
    rest = trainer(case, tmp_path, losses, ListRecorder(), save_steps=2)
    rest.train_from(tmp_path / "checkpoint-2")
    assert rest.state.global_step == 3
    for name, weights in made.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], weights), name


# ---------------------------------------------------------------------------------------------------- answers


class Numbers:
    """As much of a tokenizer as generation reads."""

    eos_token_id = VOCABULARY - 1

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(VOCABULARY)}


@pytest.mark.parametrize("case", CAUSAL)
def test_answers_of_a_batch_are_those_without_a_cache(case: str) -> None:
    model = family_model(case)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]
    found = generate_batch(model, Numbers(), prompts, max_new_tokens=5, candidates=Candidates(0, 1, 1.0),
                           generator=torch.Generator())
    for prompt, answer in zip(prompts, found, strict=True):
        ids = list(prompt)
        for token in answer:
            with torch.no_grad():
                best = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            assert token == best, (case, prompt, answer)
            ids.append(token)


@pytest.mark.parametrize("case", CAUSAL)
def test_evaluation_and_answers_follow_the_models_own_logits(case: str) -> None:
    """Cross-entropy of text, scores of labels and the distribution in front of an answer, each from what the model itself gives."""
    words = chat_tokenizer()
    model, teacher = (family_model(case, seed=seed, vocab_size=len(words), eos_token_id=words.eos_token_id) for seed in (1, 0))
    ids = torch.tensor([words(text)["input_ids"][:6] for text in SENTENCES[:3]])
    counted = Blocks(ids.numpy().astype(np.int32), np.ones(ids.shape, dtype=np.float32), len(ids), ids.numel())
    q, p = (own_logits(each, ids)[:, :-1, :len(words)].log_softmax(-1) for each in (model, teacher))
    found = evaluate_language(model, counted, teacher, tokenizer=words, batch_size=2, device="cpu")
    assert found["cross_entropy"] == pytest.approx(-q.gather(-1, ids[:, 1:, None]).mean().item(), rel=1e-4)
    assert found["kl_to_teacher"] == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=1e-3)

    prompt, labels = ids[0, :4].tolist(), [[7, 8], [9]]
    scores = label_scores(model, [prompt], labels, torch.device("cpu"), len(words))
    naive = [sum(own_logits(model, torch.tensor([[*prompt, *label[:place]]]))[0, -1].log_softmax(-1)[token].item()
                 for place, token in enumerate(label)) for label in labels]
    assert scores[0].tolist() == pytest.approx(naive, rel=1e-3)

    question = render([{"role": "user", "content": "A film?"}], words, add_generation_prompt=True)
    here = own_logits(model, torch.tensor([words(question, add_special_tokens=False)["input_ids"]]))[0, -1, :len(words)]
    assert next_token_logits(model, words, "A film?").logits == pytest.approx(here.sort(descending=True).values.tolist(), abs=1e-4)
    assert generate(model, words, "A film?", max_new_tokens=3, sampling_temperature=0).tokens <= 3
    assert context_length(model) == (2048 if case == "bloom" else POSITIONS)


@pytest.mark.parametrize(("config", "hint"), [
    ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}, "gemma3_text model beside other parts"),
    ({"model_type": "qwen2_moe"}, "as qwen3_moe"), ({"model_type": "gemma"}, "as gemma2"), ({"model_type": "olmo"}, "as olmo2"),
    ({"model_type": "hunyuan", "num_key_value_heads": 2, "intermediate_size": 8, "rms_norm_eps": 1e-6, "hidden_size": 8,
      "num_hidden_layers": 2}, "as llama"),
    ({"model_type": "mamba"}, "of these families\\.$")])
def test_an_unknown_family_is_refused_with_its_nearest_relative(config: dict[str, Any], hint: str) -> None:
    with pytest.raises(UnsupportedModelError, match=hint):
        architecture_of(config)


# ---------------------------------------------------------------------------------------------------- encoders


ENCODERS = [case for case in (*FAMILIES, *OLDER) if not is_causal(case)]
TASK_SPEC = TrainSpec(learning_rate=5e-3, per_device_train_batch_size=8, max_steps=2, precision="fp32", device="cpu", seed=1)


def saved_encoder(case: str, folder: Path, *, head: bool) -> Path:
    """A folder as users have it, with a masked-language head or the encoder alone, as sentence-transformers' models are."""
    model = family_model(case, vocab_size=len(tokenizer()), pad_token_id=tokenizer().pad_token_id)
    (model if head else model.base_model).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make", [sentiment, questions])
@pytest.mark.parametrize("case", ENCODERS)
def test_an_encoder_without_a_head_is_fine_tuned(case: str, make: Any, tmp_path: Path) -> None:
    """What a task needs of the head alone, ModernBERT's layer in front of it, comes from the seed."""
    folder, task = saved_encoder(case, tmp_path / "encoder", head=False), make(train=8, held_out=4)
    if case == "eurobert" and task.kind == "question_answering":
        with pytest.raises(CompatibilityError, match="no head for extractive questions"):
            fine_tune_and_evaluate(str(folder), task, seed=1, spec=TASK_SPEC)
        return
    tuned, _ = fine_tune_and_evaluate(str(folder), task, seed=1, spec=TASK_SPEC)
    other = folder if case == "modernbert" else saved_encoder(case, tmp_path / "language_model", head=True)
    again, _ = fine_tune_and_evaluate(str(other), task, seed=1, spec=TASK_SPEC)
    for name, weights in again.model.state_dict().items():
        assert torch.equal(tuned.model.state_dict()[name], weights), name
    tuned.model.save_pretrained(tmp_path / "tuned")
    tokenizer().save_pretrained(tmp_path / "tuned")
    entry = catalog.describe(str(tmp_path / "tuned"))
    assert (entry.task, entry.parameters) == (task.kind, tuned.model.num_parameters())


@pytest.mark.parametrize("case", ENCODERS)
def test_an_encoder_without_a_head_is_refused_from_its_header_where_tokens_are_predicted(case: str, tmp_path: Path) -> None:
    with_head, without = (catalog.describe(str(saved_encoder(case, tmp_path / str(head), head=head))) for head in (True, False))
    assert require_language_model(with_head) is with_head
    assert with_head.header.has_language_head
    if case == "deberta":
        with pytest.raises(CompatibilityError, match='"legacy": false'):
            require_language_model(without)
    with pytest.raises(CompatibilityError, match=r"has no masked-language head.*fine-tuning on a labelled task needs no such head"):
        require_language_model(without)


def test_an_electra_discriminator_is_fine_tuned_and_not_distilled(tmp_path: Path) -> None:
    config = family_model("electra", vocab_size=len(tokenizer())).config
    transformers.ElectraForPreTraining(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(CompatibilityError, match="no masked-language head"):
        require_language_model(catalog.describe(str(tmp_path)))
    tuned, _ = fine_tune_and_evaluate(str(tmp_path), sentiment(train=8, held_out=4), seed=1, spec=TASK_SPEC)
    assert type(tuned.model).__name__ == "ElectraForSequenceClassification"


def test_a_damaged_body_is_refused_whether_a_head_is_needed_or_not(tmp_path: Path) -> None:
    saved_encoder("xlm-roberta", tmp_path, head=False)
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    weights[name] = weights[name][:8].contiguous()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptModelError, match="lacks"):
        catalog.load(str(tmp_path), needs_head=False)
