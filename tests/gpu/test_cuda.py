"""The main path on a GPU, skipped where there is none: `python -m pytest -n 0 tests/gpu` runs all of it.

What the processor computes in fp32 is the reference for what the GPU computes in fp32 and in bf16.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.config import ExperimentConfig
from core.errors import OutOfMemoryError
from core.events import Sample
from core.generation.streaming import generate
from core.methods.distillation import distill
from core.models import catalog
from core.recipes import parse_recipe, read_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from core.system.paths import PROJECT
from core.training.losses import LOGIT_LOSSES
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save
from workbench.error_mapping import to_user_error

DEVICE = "cuda:0"
STEPS = 6
LOSSES = ({}, {"divergence": "reverse_kl"}, {"divergence": "jsd", "beta": 0.3}, {"w_hidden": 0.5}, {"w_hidden_mse": 0.5}, {"w_kd": 0})

pytestmark = pytest.mark.skipif(DEVICE.startswith("cuda") and not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_chat_model(folder / "chat", layers=4, positions=64)
    save(masked_model(), folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "reviews.txt"
    path.write_text("\n\n".join(f"Film number {n} has a very good script and {n % 7} old jokes." for n in range(80)))
    return path


def experiment(teacher: Path, corpus: Path, device: str, precision: str = "fp32", **changes: dict) -> ExperimentConfig:
    plain = {"teacher": {"model": str(teacher)}, "student": {"layers": 2},
             "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
             "train": {"max_steps": STEPS, "per_device_train_batch_size": 4, "save_steps": 2, "learning_rate": 1e-3,
                       "device": device, "precision": precision},
             "evaluation": {"eval_steps": 3, "blocks": 4, "prompts": ["A film"], "max_new_tokens": 4}}
    for section, values in changes.items():
        plain[section] = {**plain.get(section, {}), **values}
    return parse_recipe(plain)


def curve(config: ExperimentConfig, folder: Path) -> list[float]:
    recorder = ListRecorder()
    distill(config, recorder, folder)
    return list(recorder.series(STUDENT, "loss").values())


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 3e-2)])
@pytest.mark.parametrize("losses", LOSSES, ids=str)
def test_each_loss_is_that_of_the_processor_in_fp32(models: Path, corpus: Path, tmp_path: Path, losses: dict, precision: str,
                                                    tolerance: float) -> None:
    expected = curve(experiment(models / "chat", corpus, "cpu", losses=losses), tmp_path / "cpu")
    found = curve(experiment(models / "chat", corpus, DEVICE, precision, losses=losses), tmp_path / "gpu")
    assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("losses", LOSSES[:3], ids=str)
@pytest.mark.parametrize("name", sorted(LOGIT_LOSSES))
def test_a_term_and_its_gradient_are_those_of_the_processor(name: str, losses: dict) -> None:
    generator = torch.Generator().manual_seed(0)
    z, v = (torch.randn(64, 501, generator=generator) * 3 for _ in range(2))
    against = torch.randint(501, (64,), generator=generator) if name == "hard" else v
    term = LOGIT_LOSSES[name].of(parse_recipe({"losses": losses}).losses)
    for here, there in zip(term(z.clone(), against.clone()), term(z.to(DEVICE), against.to(DEVICE)), strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-5)


def test_a_masked_model_and_adapters_train(models: Path, corpus: Path, tmp_path: Path) -> None:
    masked = curve(experiment(models / "encoder", corpus, DEVICE, "bf16", losses={"w_kd": 5, "w_hard": 2, "w_hidden": 1}), tmp_path / "mlm")
    adapted = curve(experiment(models / "chat", corpus, DEVICE, "bf16", student={"layers": None, "lora": {"rank": 2}}), tmp_path / "lora")
    assert masked[-1] < masked[0] and adapted[-1] <= adapted[0]


def test_a_resumed_run_ends_as_an_uninterrupted_one(models: Path, corpus: Path, tmp_path: Path) -> None:
    config = experiment(models / "chat", corpus, DEVICE)
    whole = distill(config, ListRecorder(), tmp_path / "whole")
    with pytest.raises(StopRequested):
        distill(config, ListRecorder(stop_after=3), tmp_path / "cut")
    rest = distill(config, ListRecorder(), tmp_path / "cut")
    assert rest.student_after["cross_entropy"] == pytest.approx(whole.student_after["cross_entropy"], rel=1e-5)


def test_a_model_answers(models: Path) -> None:
    loaded = catalog.load(str(models / "chat"), device=DEVICE)
    assert loaded.model.device == torch.device(DEVICE)
    assert generate(loaded.model, loaded.tokenizer, "A film?", max_new_tokens=8, sampling_temperature=0).tokens <= 8


def test_the_quickstart_distils(tmp_path: Path) -> None:
    recorder = ListRecorder()
    changes = [f"train.device={DEVICE}", "train.max_steps=30"]
    report = distill(read_recipe(PROJECT / "assets" / "recipes" / "quickstart.yaml", changes), recorder, tmp_path)
    assert report.student_after["kl_to_teacher"] < report.student_before["kl_to_teacher"]
    assert recorder.of(Sample)


def test_too_little_memory_is_answered_with_what_to_change(models: Path, corpus: Path, tmp_path: Path) -> None:
    config = experiment(models / "chat", corpus, DEVICE)
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(torch.OutOfMemoryError) as caught:
            distill(config, ListRecorder(), tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    said = to_user_error(caught.value, tmp_path)
    assert isinstance(said, OutOfMemoryError) and said.fix
