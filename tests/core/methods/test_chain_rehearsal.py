"""What a chain does after its training is tried before it; chains of anchors whose heads do not follow their width, end to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config, StableLmConfig

from core.chains import interpolation, on_demand
from core.chains.folder import open_chain
from core.chains.sizes import valid_shapes
from core.config import ChainConfig
from core.errors import CompatibilityError, ConfigError, StillhouseError
from core.methods import chain_rehearsal
from core.methods.chain import build_chain
from core.models.dimensions import Dimensions
from core.planning.plan import static_plan
from core.recorder import ListRecorder
from tests.core.chat_models import chat_tokenizer
from tests.tiny_chains import HEAD, LARGE, MIDDLE, SMALL, chain_recipe, save_anchor


def save(folder: Path, kind: type = Qwen3Config, seed: int = 0, **sizes: Any) -> Path:
    return save_anchor(folder, kind, seed, head_size=HEAD if kind is not StableLmConfig else None, **sizes)


def recipe(folder: Path, teacher: Path, *models: Path, **sections: Any) -> ChainConfig:
    losses = {"w_kd": 1, "w_hard": 0, "divergence": "reverse_kl", "temperature": 1}
    chain = {"anchors": [{"model": str(model)} for model in models], "mode": "independent", "curve_points": 2}
    config = chain_recipe(folder, **{"teacher": {"model": str(teacher)}, "losses": losses, "chain": chain} | sections)
    assert isinstance(config, ChainConfig)
    return config


def refused(config: ChainConfig, run: Path, message: str) -> StillhouseError:
    """The run ends with this message, and no anchor was trained a step."""
    recorder = ListRecorder()
    with pytest.raises(StillhouseError, match=message) as caught:
        build_chain(config, recorder, run)
    assert not recorder.series("student", "loss") and not (run / "steps").exists() and not (run / "anchors" / "1").exists()
    assert not list(run.glob("rehearsal-*"))
    return caught.value


@pytest.fixture
def anchors(tmp_path: Path) -> list[Path]:
    return [save(tmp_path / name, seed=seed, **sizes) for seed, (name, sizes) in enumerate(
        {"large": LARGE, "middle": MIDDLE, "small": SMALL}.items())]


def test_a_chain_of_anchors_whose_heads_do_not_follow_the_width(tmp_path: Path, anchors: list[Path]) -> None:
    report = build_chain(recipe(tmp_path, *anchors), ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert [anchor.dimensions.heads for anchor in chain.anchors] == [4, 2, 2] and report.curve_points == len(chain.curve) == 3
    for number, (large, small) in enumerate(zip(chain.anchors[:-1], chain.anchors[1:], strict=True)):
        shapes = valid_shapes(small.dimensions, large.dimensions, chain.sizer)
        assert {shape.hidden for shape in shapes} == {*range(small.dimensions.hidden, large.dimensions.hidden + 1, 8)}
        assert {shape.heads for shape in shapes} == {large.dimensions.heads, small.dimensions.heads}
        for shape in {shapes[1], shapes[-2]}:
            target = chain.target(parameters=chain.sizer(shape))
            assert target.parameters == chain.sizer(shape) and target.larger_anchor == number
            created = on_demand.create(chain, target, tmp_path / f"created-{number}-{shapes.index(shape)}", measure=False)
            model = AutoModelForCausalLM.from_pretrained(tmp_path / f"created-{number}-{shapes.index(shape)}")
            assert model.num_parameters() == target.parameters == created.target.parameters
            assert Dimensions.from_config(model.config) == target.dimensions
    assert chain.target(layers=3).dimensions.hidden in (32, 40)


def test_heads_that_the_small_anchor_lacks_change_nothing(anchors: list[Path]) -> None:
    from core.students.resizing import Weights

    large, small = (Weights.of(AutoModelForCausalLM.from_pretrained(folder).eval()) for folder in anchors[:2])
    pair = interpolation.AnchorPair(small, large)
    target = Dimensions(layers=3, hidden=40, heads=4, key_value_heads=2, head_size=HEAD, intermediate_size=120)
    ids = torch.arange(5, 17).view(1, -1)
    with torch.no_grad():
        expected, made = (weights.model()(ids).logits for weights in (small, interpolation.interpolate(pair, target, 1.0)))
    assert (expected - made).abs().max() < 1e-3


def test_an_aligned_chain_of_such_anchors_swaps_blocks(tmp_path: Path, anchors: list[Path]) -> None:
    losses = {"w_kd": 1, "w_hard": 0, "w_hidden_mse": 1, "hidden_layers": "ends"}
    build_chain(recipe(tmp_path, *anchors[:2], losses=losses), ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert chain.aligned and len(chain.anchors[1].swap_deltas) == 2
    assert all(point.losses["substitution"] is not None for point in chain.curve)


@pytest.mark.parametrize(("kind", "changes", "message"), [
    (Qwen3Config, {"head_dim": 8}, "share architecture and head size"), (LlamaConfig, {}, "share architecture"),
    (Qwen3Config, {"tie_word_embeddings": False}, "Only the larger of two neighbouring anchors"),
    (Qwen3Config, {"intermediate_size": 160}, "160 neurons below 152"), (Qwen3Config, LARGE, "the same sizes"),
    (Qwen3Config, {"attention_bias": True}, r"Only one of two neighbouring anchors has model\.layers\.0\.self_attn"),
    (Qwen3Config, {"vocab_size": 400}, "share their vocabulary")])
def test_anchors_that_cannot_neighbour_are_refused_at_the_start(tmp_path: Path, kind: type, changes: dict[str, Any], message: str) -> None:
    large, small = save(tmp_path / "large", **LARGE), save(tmp_path / "small", kind, **MIDDLE | changes)
    error = refused(recipe(tmp_path, large, small), tmp_path / "run", message)
    assert isinstance(error, CompatibilityError) and error.field == "chain.anchors"
    planned = next(check for check in static_plan(recipe(tmp_path, large, small)).checks if check.name == "anchors")
    assert not planned.ok and planned.field == "chain.anchors" and error.given in planned.message


def test_a_plan_names_the_sizes_of_all_anchors(tmp_path: Path, anchors: list[Path]) -> None:
    check = next(check for check in static_plan(recipe(tmp_path, *anchors)).checks if check.name == "anchors")
    assert check.ok and check.message.count("blocks") == 3 and "16 channels, 2 heads, 48 neurons" in check.message


def test_a_student_of_such_a_teacher_has_any_width(tmp_path: Path, anchors: list[Path]) -> None:
    from core.config import StudentSpec
    from core.students.build import build_student

    teacher = AutoModelForCausalLM.from_pretrained(anchors[0])
    student = build_student(teacher, StudentSpec(layers=2, hidden=24, pruning_criterion="first"), seed=0).model
    assert (student.config.hidden_size, student.config.num_attention_heads, student.config.head_dim) == (24, 4, HEAD)


def test_heads_that_fill_the_width_keep_their_groups(tmp_path: Path) -> None:
    large = save(tmp_path / "large", StableLmConfig, **LARGE | {"hidden_size": 64})
    small = save(tmp_path / "small", StableLmConfig, **MIDDLE)
    refused(recipe(tmp_path, large, small), tmp_path / "run", "the heads fill the width, in groups of one size")


def test_later_anchors_are_looked_at_too(tmp_path: Path, anchors: list[Path]) -> None:
    refused(recipe(tmp_path, *anchors[:2], anchors[0]), tmp_path / "run", "smaller than the one above it")
    chain = {"anchors": [{"layers": 2}, {"layers": 3}]}
    refused(recipe(tmp_path, anchors[0], chain=chain), tmp_path / "sizes", "descending size")


@pytest.mark.parametrize("stage", ["interpolate", "loss_of", "create", "load_anchor_pair", "save_model"])
def test_a_late_stage_that_fails_ends_the_run_before_training(stage: str, tmp_path: Path, anchors: list[Path],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConfigError(f"{stage} is broken.", "")

    monkeypatch.setattr(chain_rehearsal, stage, broken)
    refused(recipe(tmp_path, *anchors), tmp_path / "run", f"{stage} is broken")


def test_a_tracker_that_cannot_be_imported_is_refused_at_the_start(tmp_path: Path, anchors: list[Path],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = recipe(tmp_path, *anchors)
    config = config.model_copy(update={"train": config.train.model_copy(update={"report_to": ("wandb",)})})
    assert refused(config, tmp_path / "run", "cannot be imported").field == "train.report_to"


def test_an_anchor_of_another_vocabulary_is_refused_at_the_start(tmp_path: Path, anchors: list[Path]) -> None:
    other = chat_tokenizer(("Some other words altogether.", "Nothing of the first."))
    AutoModelForCausalLM.from_pretrained(anchors[1]).save_pretrained(tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    refused(recipe(tmp_path, anchors[0], tmp_path / "other"), tmp_path / "run", "tokenizers differ")
