from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.config import ExperimentConfig, TrainSpec, total_steps
from core.data.packing import Blocks
from core.errors import CompatibilityError
from core.models import catalog
from core.planning.plan import plan, static_plan
from core.planning.requirements import Plan
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from core.signals.source import LocalTeacher
from core.students.build import build_student
from core.system import devices, machine
from core.system.units import GIB
from core.training.base_trainer import training_arguments
from core.training.distillation_trainer import DistillationSetup, DistillationTrainer
from tests.core.chat_models import chat_tokenizer, save_chat_model
from tests.core.masked_models import masked_model, masked_tokenizer, save
from tests.core.tiny import tiny_encoder
from tests.interpreters import heavy_modules

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chat_model(tmp_path_factory.mktemp("models") / "teacher", layers=4, positions=64)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.txt"
    path.write_text("\n\n".join(f"Film number {n} has a very good script and {n % 7} old jokes." for n in range(100)))
    return path


def experiment(teacher: Path, corpus: Path, /, **changes: object) -> ExperimentConfig:
    plain = {"teacher": {"model": str(teacher)}, "student": {"layers": 2},
             "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
             "train": {"per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"},
             "evaluation": {"blocks": 4, "max_new_tokens": 2}}
    for section, values in changes.items():
        plain[section] = {**plain[section], **values} if isinstance(values, dict) and section in plain else values
    return parse_recipe(plain)


def failed(planned: Plan) -> dict[str, str]:
    return {check.name: check.fix for check in planned.checks if not check.ok}


# ---------------------------------------------------------------------------------------------------- static


def test_a_static_plan_needs_no_torch(teacher, corpus):
    program = ("from core.planning.plan import static_plan; from core.recipes import parse_recipe; "
               f"assert static_plan(parse_recipe({experiment(teacher, corpus).to_dict()!r})).fits")
    assert heavy_modules(program) == []


@pytest.mark.parametrize("student", [{"layers": 3}, {"layers": None}, {"layers": None, "layer_map": [1, 3]}, {"layer_map": "first"},
                                     {"lora": {"rank": 2}}], ids=str)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_static_plan_knows_the_student_that_will_be_built(teacher, corpus, student):
    config = experiment(teacher, corpus, student=student)
    planned, built = static_plan(config), build_student(catalog.load(str(teacher)).model, config.student, seed=0)
    assert planned.fits
    assert planned.layer_map == built.layer_map
    assert planned.student.parameters == built.parameters
    assert planned.trainable_parameters == built.trainable_parameters
    assert planned.student.layers == len(built.layer_map)
    assert planned.teacher.layers == 4
    assert planned.memory_available > planned.memory.total
    assert (planned.seconds, planned.measured_steps) == (None, 0)


def test_importance_is_not_known_before_it_is_measured(teacher, corpus):
    planned = static_plan(experiment(teacher, corpus, student={"layer_map": "importance"}))
    assert planned.fits
    assert planned.layer_map is None
    assert planned.student.layers == 2


def test_steps_and_tokens(teacher, corpus):
    planned = static_plan(experiment(teacher, corpus, train={"gradient_accumulation_steps": 3, "max_steps": 7}))
    assert (planned.tokens_per_step, planned.total_steps) == (2 * 3 * 24, 7)
    assert static_plan(experiment(teacher, corpus)).total_steps is None


def test_a_fresh_model(corpus):
    planned = static_plan(parse_recipe({"teacher": None, "student": {"from_scratch": {"layers": 2}}, "losses": {"w_kd": 0, "w_hard": 1},
                                        "data": {"source": str(corpus), "block_length": 2000}}))
    assert planned.teacher is None
    assert planned.layer_map is None
    assert planned.student.layers == 2
    assert failed(planned) == {"block length": "Set data.block_length to 1024 or less."}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(masked_model(), tmp_path_factory.mktemp("models") / "encoder")


DISTILBERT = {"student": {"architecture": "distilbert"}, "losses": {"w_kd": 5, "w_hard": 2, "w_hidden": 1}}


@pytest.mark.parametrize("student", [{}, {"architecture": "distilbert"}, {"architecture": "distilbert", "layers": 3, "dropout": 0.0},
                                     {"lora": {"rank": 2}}], ids=str)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_static_plan_knows_the_student_of_an_encoder(encoder, corpus, student):
    config = experiment(encoder, corpus, student=student)
    planned, built = static_plan(config), build_student(catalog.load(str(encoder)).model, config.student, seed=0)
    assert planned.fits, failed(planned)
    assert planned.layer_map == built.layer_map
    assert planned.student.parameters == built.parameters
    assert planned.trainable_parameters == built.trainable_parameters
    assert "predicts masked tokens" in next(check.message for check in planned.checks if check.name == "objective")


@pytest.mark.parametrize(("changes", "name", "message"), [
    ({"evaluation": {"sentiment_items": 9}}, "objective", "answers no question"),
    ({"data": {"block_length": 49}}, "block length", "reads 48 at most"),
    ({"student": {"hidden": 64}}, "student", "32 at most was expected"),
    ({"student": {"hidden": 16}}, "student", "width of a bert model"),
    ({"student": {"layers": 5}}, "student", "1 to 4"),
    ({"evaluation": {"retention": {"tasks": ["rt", "rtt"]}}}, "retention tasks", "'rtt' is no file here and no hub id"),
    ({"student": {"hidden": 16, "architecture": "distilbert"}}, "student", "keeps its teacher's width"),
    ({"chain": {"anchors": [{"layers": 2}]}, "student": {"layers": None}}, "teacher", "A chain is made of models that predict the next"),
])
def test_what_does_not_fit_an_encoder_is_reported_at_once(encoder, corpus, changes, name, message):
    planned = static_plan(experiment(encoder, corpus, **changes))
    wrong, = (check for check in planned.checks if not check.ok)
    assert wrong.name == name
    assert message in wrong.message


@pytest.mark.parametrize("changes", [{"masking": {"fraction": 0.3}}, {"losses": {"kd_positions": "masked"}}, DISTILBERT], ids=str)
def test_settings_of_masked_models_are_reported_with_a_causal_teacher(teacher, corpus, changes):
    planned = static_plan(experiment(teacher, corpus, **changes))
    wrong, = (check for check in planned.checks if not check.ok)
    assert wrong.name == "objective"
    assert "to masked-language models, and this one predicts the next token" in wrong.message


@pytest.mark.parametrize(("name", "student", "message"), [
    ("roberta", {"architecture": "distilbert"}, "the teacher is a roberta model"),
    ("modernbert", {"layer_map": [1, 2], "layers": None}, "can only come first")])
def test_what_an_architecture_does_not_support_is_reported_at_once(tmp_path, corpus, name, student, message):
    folder = save(tiny_encoder(name), tmp_path / name)
    planned = static_plan(experiment(folder, corpus, student=student))
    wrong, = (check for check in planned.checks if not check.ok)
    assert (wrong.name, message in wrong.message) == ("student", True)


def test_an_activation_that_distilbert_lacks_is_reported_at_once(tmp_path, corpus):
    model = masked_model()
    model.config.hidden_act = "silu"
    planned = static_plan(experiment(save(model, tmp_path / "silu"), corpus, **DISTILBERT))
    assert failed(planned) == {"student": "Build it as the teacher is built."}


def test_a_classifier_teaches_no_language(tmp_path, corpus):
    folder = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_config(masked_model().config).save_pretrained(folder)
    masked_tokenizer().save_pretrained(folder)
    planned = static_plan(experiment(folder, corpus))
    wrong, = (check for check in planned.checks if not check.ok)
    assert (wrong.name, "classifies texts" in wrong.message) == ("teacher", True)


def test_teacher_and_student_predict_the_same(teacher, encoder, corpus):
    planned = static_plan(experiment(teacher, corpus, student={"model": str(encoder), "layers": None}))
    wrong, = (check for check in planned.checks if not check.ok)
    assert (wrong.name, "must predict the same" in wrong.message) == ("student", True)


@pytest.mark.parametrize("place", ["proxy", "writer"])
def test_a_bridge_of_an_encoder_is_reported_at_once(teacher, encoder, corpus, place):
    proxy, writer = (encoder, teacher) if place == "proxy" else (teacher, encoder)
    planned = static_plan(experiment(teacher, corpus, teacher=None, student={"model": str(proxy), "layers": None},
                                     losses={"w_kd": 0, "w_hard": 1}, bridge={"model": str(writer)}))
    wrong, = (check for check in planned.checks if not check.ok)
    assert wrong.name == {"proxy": "student", "writer": "writer"}[place]
    assert "A bridge is made of models that predict the next token." in wrong.message


@pytest.mark.parametrize(("changes", "name"), [
    ({"teacher": {"model": "hause-chat"}}, "teacher"),
    ({"student": {"layers": 5}}, "student"),
    ({"student": {"layer_map": "table"}}, "student"),
    ({"data": {"block_length": 65}}, "block length"),
    ({"data": {"source": "absent.csv"}}, "text"),
    ({"data": {"source": "somebody/web", "streaming": True}}, "text"),
    ({"train": {"device": "cuda:63"}}, "device"),
])
def test_what_stands_in_the_way_is_named(teacher, corpus, changes, name):
    planned = static_plan(experiment(teacher, corpus, **changes))
    assert not planned.fits
    assert list(failed(planned)) == [name]


def test_blocks_longer_than_the_teacher_was_trained_on_are_allowed_with_a_warning(tmp_path, corpus):
    folder = save_chat_model(tmp_path / "teacher")
    (folder / "stillhouse.json").write_text('{"config": {"data": {"block_length": 32}}}')
    for length in (32, 48):
        planned = static_plan(experiment(folder, corpus, data={"source": str(corpus), "block_length": length}))
        cautions = [check for check in planned.checks if check.caution]
        assert planned.fits
        assert [(check.name, check.fix) for check in cautions] == (
            [] if length == 32 else [("trained length", "Set data.block_length to 32 or less.")])


def test_a_static_plan_compares_with_the_memory_that_is_free(teacher, corpus, monkeypatch):
    monkeypatch.setattr(machine, "memory_available", lambda: 2**20)
    planned = static_plan(experiment(teacher, corpus))
    assert list(failed(planned)) == ["memory"]
    assert planned.memory_available == 2**20
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    on_gpu = static_plan(experiment(teacher, corpus, train={"device": "cuda"}))
    assert on_gpu.fits, "what a GPU has free takes torch to know"
    assert on_gpu.memory_available is None


# ---------------------------------------------------------------------------------------------------- complete


def test_a_complete_plan_with_a_rehearsal(teacher, corpus):
    config = experiment(teacher, corpus, control=True)
    planned = plan(config, measure=True)
    assert planned.fits
    assert [check.name for check in planned.checks] == [
        "teacher", "objective", "student", "text", "block length", "disk", "device", "memory", "vocabulary", "kept answers",
        "rehearsal", "teacher's lead"]
    assert planned.measured_steps == 5
    assert planned.total_steps > 5
    assert planned.seconds > 0
    assert planned.tokens_per_second > 0
    assert planned.memory_available > planned.memory.total
    assert json.loads(json.dumps(asdict(planned)))["layer_map"] == [0, 3]


def test_a_complete_plan_without_a_rehearsal_knows_the_steps(teacher, corpus):
    planned = plan(experiment(teacher, corpus, train={"num_train_epochs": 2.0}), measure=False)
    text = next(check.message for check in planned.checks if check.name == "text")
    blocks = int(text.split()[0].replace(",", ""))
    assert planned.total_steps == 2 * -(-blocks // 2)
    assert "read 2 times" in text
    assert 0.9 < planned.counted_share < 1
    assert f"{planned.counted_share:.0%} of the tokens count" in text or f"{planned.counted_share:.1%} of the tokens count" in text
    assert (planned.seconds, planned.tokens_per_second) == (None, None)


def test_nothing_is_loaded_that_would_not_fit(teacher, corpus, monkeypatch):
    monkeypatch.setattr(devices, "memory_available", lambda device: 0.01)
    planned = plan(experiment(teacher, corpus), measure=True, load=lambda *_, **__: pytest.fail("loaded"))
    assert list(failed(planned)) == ["memory"]
    assert planned.memory_available == int(0.01 * GIB)


def test_a_device_that_is_not_there(teacher, corpus):
    planned = plan(experiment(teacher, corpus, train={"device": "cuda:7"}), measure=True)
    assert failed(planned) == {"device": "Take the best one."}
    assert planned.student is not None


def test_text_shorter_than_a_block(teacher, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    planned = plan(experiment(teacher, short), measure=True)
    assert list(failed(planned)) == ["text"]
    assert planned.total_steps is None


def test_a_fresh_model_is_rehearsed_on_a_sample(corpus):
    config = parse_recipe({"teacher": None,
                           "student": {"from_scratch": {"layers": 1, "hidden": 16, "intermediate_size": 16, "vocabulary": 300}},
                           "losses": {"w_kd": 0, "w_hard": 1}, "data": {"source": str(corpus), "block_length": 24},
                           "train": {"max_steps": 50, "per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"},
                           "evaluation": {"blocks": 2, "prompts": []}})
    planned = plan(config, measure=True)
    assert planned.fits
    assert planned.total_steps == 50
    assert planned.seconds > 0


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("epochs", [0.5, 1.0, 2.2])
def test_total_steps_are_those_that_trainer_takes(tmp_path, teacher, corpus, accumulation, epochs):
    spec = TrainSpec(per_device_train_batch_size=2, gradient_accumulation_steps=accumulation, num_train_epochs=epochs, device="cpu")
    config = experiment(teacher, corpus)
    model = catalog.load(str(teacher)).model
    blocks = Blocks(np.full((5, 8), 9, np.int32), np.ones((5, 8), np.float32), 5, 40)
    arguments = training_arguments(spec, tmp_path / "run", torch.device("cpu"), eval_steps=99)
    student, setup = build_student(model, config.student, seed=0).model, DistillationSetup(config.losses, LocalTeacher(model), (0, 3))
    trainer = DistillationTrainer(student, setup, blocks, arguments, variant=STUDENT, recorder=ListRecorder(), dtype=torch.float32,
                                  evaluate=lambda _: {"eval/cross_entropy": 0.0})
    trainer.train()
    assert total_steps(spec, len(blocks)) == trainer.state.global_step == trainer.state.max_steps


def test_an_encoder_is_rehearsed(encoder, corpus):
    planned = plan(experiment(encoder, corpus, **DISTILBERT), measure=True)
    assert planned.fits, failed(planned)
    assert planned.seconds > 0 or planned.total_steps is None
    assert "predicts masked tokens" in next(check.message for check in planned.checks if check.name == "objective")


def test_a_chain_is_planned_as_its_first_step_with_room_for_all_anchors():
    anchors = [{"layers": 4, "intermediate_size": 384}, {"layers": 2}]
    chain = static_plan(parse_recipe({"chain": {"anchors": anchors}}))
    step = static_plan(parse_recipe({"student": {"layers": 4, "intermediate_size": 384}}))
    assert chain.fits
    assert chain.student.parameters == step.student.parameters
    assert chain.disk_bytes == step.disk_bytes + 2 * 2 * chain.teacher.parameters
    assert static_plan(parse_recipe({"chain": {"anchors": [{"intermediate_size": 256}]}})).student.layers == chain.teacher.layers
    too_deep = static_plan(parse_recipe({"chain": {"anchors": [{"layers": 99}]}}))
    assert "student" in [check.name for check in too_deep.checks if not check.ok]


@pytest.mark.parametrize("with_teacher", [True, False])
def test_a_plan_refuses_the_tokenizers_that_a_run_refuses(with_teacher: bool, teacher: Path, corpus: Path, tmp_path: Path) -> None:
    """A student's folder whose tokenizer gives one token more than the model has rows."""
    from core.methods.distillation import distill

    start = save_chat_model(tmp_path / "start", layers=2, seed=1, positions=64)
    tokenizer = chat_tokenizer()
    larger = AutoTokenizer.from_pretrained(start)
    larger.add_tokens(["<one-more>"])
    larger.save_pretrained(start)
    changes = {} if with_teacher else {"teacher": None, "losses": {"w_kd": 0, "w_hard": 1}}
    config = experiment(teacher, corpus, student={"layers": None, "model": str(start)}, **changes)
    planned = plan(config, measure=False)
    assert not planned.fits and "vocabulary" in failed(planned)
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match=f"knows {len(tokenizer) + 1:,} tokens"):
        distill(config, recorder, tmp_path / "run")
    assert not recorder.series(STUDENT, "loss")


def test_a_tokenizer_with_more_tokens_than_rows_does_not_fit(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "teacher")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    config = parse_recipe({"teacher": {"model": str(folder)}, "student": {"layers": 1}})
    assert static_plan(config, read_tokenizers=True).fits
    tokenizer.save_pretrained(folder)
    assert static_plan(config).fits  # forms look at headers alone; their complete plan loads the tokenizer too
    found = static_plan(config, read_tokenizers=True)
    assert not found.fits
    failed, = (check for check in found.checks if not check.ok)
    assert failed.name == "vocabulary" and "knows 301 tokens" in failed.message


def test_an_ensemble_is_planned_from_its_members_and_images(tmp_path: Path) -> None:
    planned = static_plan(parse_recipe({"kind": "ensemble", "train": {"max_steps": 7}}))
    assert planned.fits and planned.total_steps == 7 and {"images", "members", "device"} <= {check.name for check in planned.checks}
    alone = static_plan(parse_recipe({"kind": "ensemble", "ensemble": {"members": [{"count": 1}]}}))
    assert alone.fits and any(check.caution and "one member" in check.message for check in alone.checks)
    wrong = plan(parse_recipe({"kind": "ensemble", "ensemble": {"members": [{"model": "house-chat"}]}, "images": {"source": "nowhere"}}),
                 measure=False)
    assert set(failed(wrong)) == {"images", "members"} and not wrong.fits


@pytest.mark.parametrize("kind", ["static", "whole"])
@pytest.mark.parametrize("student", ["model", "new"])
def test_a_reading_run_whose_student_cannot_read_every_item_does_not_fit(kind: str, student: str, corpus: Path, tmp_path: Path) -> None:
    def planned(positions: int) -> Plan:
        scratch = {"layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 2, "intermediate_size": 32, "vocabulary": 400,
                   "positions": positions}
        start = {"from_scratch": scratch} if student == "new" else {
            "model": str(save_chat_model(tmp_path / f"start-{positions}", positions=positions))}
        config = parse_recipe({"kind": "reading", "teacher": None, "student": start, "data": {"source": str(corpus), "block_length": 16},
                               "reading": {"model": "oracle", "paragraphs": 12, "tasks": ["typing", "answers"], "items": 2},
                               "train": {"device": "cpu"}})
        assert static_plan(config).fits  # forms look at headers alone
        return static_plan(config, read_tokenizers=True) if kind == "static" else plan(config, measure=False)

    short, = (check for check in planned(24).checks if not check.ok)
    assert (short.name, short.field) == ("reading tasks", "reading.tasks") and "reads 24." in short.message
    long = planned(400)
    assert long.fits and "The longest item of typing, answers takes" in str(long.checks)


def test_a_reading_task_of_the_hub_is_left_to_the_plan_that_may_use_the_network(teacher: Path, corpus: Path) -> None:
    config = parse_recipe({"kind": "reading", "teacher": None, "student": {"model": str(teacher)}, "train": {"device": "cpu"},
                           "reading": {"model": "oracle", "tasks": ["nyu-mll/glue:rte"]},
                           "data": {"source": str(corpus), "block_length": 16}})
    assert "reading tasks" not in {check.name for check in static_plan(config, read_tokenizers=True).checks}
    assert "reading tasks" in failed(plan(config, measure=False))
