"""Forms of language models: what one pass gives is what the evaluations of core/evaluation/ give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config import DataSpec
from core.data.prepare import held_out_blocks
from core.errors import CompatibilityError, DataError
from core.evaluation.language import evaluate_language
from core.evaluation.masked import evaluate_masked
from core.models import catalog
from core.reports.deployment.forms import torch_form
from core.reports.deployment.language import LanguageScores, passages, score_passages
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import corpus, masked_model, save


def scored(objective: Any, teacher: Path, student: Path, text: Path) -> tuple[LanguageScores, dict[str, float]]:
    """What the forms were given, and what the usual evaluation says of the student."""
    loaded = [catalog.load(str(each), dtype=torch.float32) for each in (teacher, student)]
    tokenizer = loaded[0].tokenizer
    blocks = held_out_blocks(DataSpec(source=str(text), block_length=32, validation_fraction=0.4), tokenizer, objective).take(12)
    forms = [torch_form("teacher", loaded[0]), torch_form("student", loaded[1])]
    evaluate = evaluate_masked if objective == "masked" else evaluate_language
    usual = evaluate(loaded[1].model, blocks, loaded[0].model, tokenizer=tokenizer, batch_size=4, device="cpu")
    shares: list[float] = []
    found = score_passages(forms, passages(blocks, tokenizer, objective), shares.append)
    assert shares[0] == 0 and shares == sorted(shares)
    return found, usual


@pytest.fixture(params=["causal", "masked"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LanguageScores, dict[str, float]]:
    text = corpus(tmp_path, 200)
    if request.param == "masked":
        folders = [save(masked_model(layers, seed=layers), tmp_path / str(layers)) for layers in (3, 2)]
    else:
        folders = [save_chat_model(tmp_path / str(layers), layers=layers, seed=layers) for layers in (3, 2)]
    return scored(request.param, *folders, text)


def test_it_is_what_the_evaluation_measures(both: tuple[LanguageScores, dict[str, float]]) -> None:
    found, usual = both
    quality, further = found.quality("student"), found.further("student", "teacher")
    assert quality.value == pytest.approx(usual["perplexity"], rel=1e-4)
    assert further["kl_to_teacher"].value == pytest.approx(usual["kl_to_teacher"], rel=1e-3, abs=1e-5)
    assert further["agreement"].value == pytest.approx(usual["agreement"]) and len(found.nats["student"]) == usual["tokens"]
    assert quality.low < quality.value < quality.high and quality.over == "blocks"
    # The usual evaluation carries the same intervals beside its values.
    assert (usual["perplexity_low"], usual["perplexity_high"]) == pytest.approx((quality.low, quality.high), rel=1e-3)
    assert usual["kl_to_teacher_low"] <= usual["kl_to_teacher"] <= usual["kl_to_teacher_high"] and usual["blocks"] == quality.n


def test_losses_are_paired_and_parts_add_up(both: tuple[LanguageScores, dict[str, float]]) -> None:
    found, _ = both
    loss, teacher, student = found.loss("student", "teacher"), found.quality("teacher"), found.quality("student")
    assert loss.value == pytest.approx(student.value / teacher.value - 1)
    assert loss.high - loss.low < (student.high - student.low + teacher.high - teacher.low) / teacher.value
    by = {name: [group for group in found.groups() if group.by == name] for name in ("kind of token", "place in the block")}
    assert all(sum(group.items for group in groups) == len(found.nats["student"]) for groups in by.values())
    assert {"beginnings of words"} <= {group.name for group in by["kind of token"]}
    worst = found.worst("student", "teacher", 3)
    assert len(worst) == 3 and all(each.probability["student"] < each.probability["teacher"] for each in worst)
    head, rows = found.table()
    assert head == ["block", "positions", "teacher nats", "student nats"] and sum(row[1] for row in rows) == len(found.nats["student"])
    assert ("blocks" in found.warnings()[0]) == (len(rows) < 20)


def test_blocks_that_a_form_cannot_read_or_that_count_nothing_are_refused(tmp_path: Path) -> None:
    loaded = catalog.load(str(save(masked_model(2), tmp_path / "m")), dtype=torch.float32)
    blocks = held_out_blocks(DataSpec(source=str(corpus(tmp_path)), block_length=60, validation_fraction=0.4), loaded.tokenizer, "masked")
    with pytest.raises(CompatibilityError, match="reads 48 tokens"):
        score_passages([torch_form("student", loaded)], passages(blocks, loaded.tokenizer, "masked"), lambda share: None)
    with pytest.raises(DataError, match="No held-out position"):
        passages(replace(blocks, weights=np.zeros_like(blocks.weights)), loaded.tokenizer, "causal")
