"""A chain from its recipe to models of any size, on tiny models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.chains.folder import FILE, SELECTION, VALIDATION, anchor_folder, open_chain
from core.chains.interpolation import substitute
from core.chains.on_demand import create, load_anchor, load_anchor_pair, loss_of, read_slice
from core.chains.sizes import valid_shapes
from core.config import ExperimentConfig, TeacherSpec
from core.data.packing import Blocks
from core.errors import CompatibilityError, ConfigError, CorruptModelError, ModelNotFoundError
from core.methods.chain import _halves, build_chain
from core.recipes import parse_recipe
from core.recorder import ListRecorder, StopRequested
from tests.core.chat_models import SENTENCES, save_chat_model
from tests.core.masked_models import masked_model, save
from tests.core.tiny import logits, token_ids


def recipe(folder: Path, **changes) -> ExperimentConfig:
    text = folder / "corpus.txt"
    if not text.is_file():
        text.write_text("\n\n".join(f"{sentence} Number {index}." for index in range(60) for sentence in SENTENCES))
    teacher = folder / "teacher"
    if not teacher.is_dir():
        save_chat_model(teacher, layers=4)
    plain = {"name": "tiny-chain", "teacher": {"model": str(teacher)}, "data": {"source": str(text), "block_length": 32},
             "losses": {"w_kd": 1, "w_hard": 0.1, "w_hidden_mse": 1, "hidden_layers": "ends", "divergence": "reverse_kl", "temperature": 1},
             "chain": {"anchors": [{"layers": 2, "intermediate_size": 32}, {"layers": 1}], "curve_points": 2},
             "train": {"max_steps": 3, "per_device_train_batch_size": 4, "save_steps": 2, "precision": "fp32", "device": "cpu"},
             "evaluation": {"eval_steps": 50, "blocks": 4, "prompts": []}}
    return parse_recipe(plain | changes)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    recorder = ListRecorder()
    report = build_chain(recipe(root), recorder, root / "run")
    assert not report.stopped
    assert [row.layers for row in report.anchors] == [4, 2, 1]
    assert list(recorder.series("student", "loss")) == [1, 2, 3, 4, 5, 6]  # one training after the other
    return root / "run"


def test_anchors_descend_and_remember_where_they_come_from(built: Path) -> None:
    chain = open_chain(str(built))
    sizes = [anchor.parameters for anchor in chain.anchors]
    assert sizes == sorted(sizes, reverse=True)
    assert [anchor.dimensions.intermediate_size for anchor in chain.anchors] == [48, 32, 32]
    assert [anchor.origin for anchor in chain.anchors] == [(0, 1, 2, 3), (0, 3), (0,)]
    assert [anchor.ends for anchor in chain.anchors] == [(0, 1, 2, 3), (1, 3), (3,)]
    assert [len(anchor.swap_deltas) for anchor in chain.anchors] == [0, 2, 1]
    assert all(anchor.tokens > 0 and anchor.seconds > 0 for anchor in chain.anchors[1:])
    assert chain.aligned
    assert chain.ends(0) == (1, 3) and chain.ends(1) == (1,)


def test_the_largest_anchor_is_the_teacher_in_another_order(built: Path) -> None:
    chain = open_chain(str(built))
    teacher = AutoModelForCausalLM.from_pretrained(built.parent / "teacher")
    mine = AutoModelForCausalLM.from_pretrained(chain.folder(0))
    torch.testing.assert_close(logits(mine, token_ids()), logits(teacher, token_ids()), rtol=1e-3, atol=1e-3)
    assert not torch.equal(mine.get_input_embeddings().weight, teacher.get_input_embeddings().weight)


def test_every_loss_is_measured_on_the_same_slice(built: Path) -> None:
    chain = open_chain(str(built))
    for anchor in chain.anchors:
        assert loss_of(load_anchor(chain, anchor.number), chain) == pytest.approx(anchor.validation_loss)
    assert len(chain.curve) >= 2
    for point in chain.curve:
        assert set(point.losses) == {"substitution", "interpolation", "best_alpha", "alpha_0", "alpha_1", "copied", "nearest", "random"}
        assert point.losses["best_alpha"] == min(point.alphas.values())
        assert len(set(point.random)) == 3 and point.losses["random"] == pytest.approx(sum(point.random) / 3)
        assert chain.sizer(point.target.dimensions) == point.target.parameters


def test_swaps_and_shapes_are_chosen_on_text_that_the_curve_is_not_measured_on(built: Path) -> None:
    chain = open_chain(str(built))
    shown, chosen = (read_slice(built / name) for name in (VALIDATION, SELECTION))
    assert len(shown) == len(chosen) and not np.array_equal(shown.input_ids, chosen.input_ids)
    pair = load_anchor_pair(chain, 0)
    shape, loss = next((shape, loss) for shape, loss in chain.grid if shape.layers == 3)
    assert loss == pytest.approx(loss_of(substitute(pair, shape), chain, chosen), abs=1e-5)
    assert loss != pytest.approx(loss_of(substitute(pair, shape), chain, shown), abs=1e-5)
    alone = replace(pair.large.dimensions, layers=3)
    delta = loss_of(substitute(pair, alone, [0]), chain, chosen) - loss_of(pair.small, chain, chosen)
    assert chain.anchors[1].swap_deltas[0] == pytest.approx(delta, abs=1e-5)


def test_few_held_out_blocks_are_halved() -> None:
    def held_out(count: int) -> Blocks:
        return Blocks(np.arange(2 * count, dtype=np.int32).reshape(count, 2), np.ones((count, 2), np.float32), 1, 2 * count)

    for there, wanted, shown, chosen in ((9, 4, [0, 2, 4, 6], [8, 10, 12, 14]), (5, 4, [0, 2], [4, 6]), (1, 4, [0], [0])):
        slices = _halves(held_out(there), wanted)
        assert [blocks.input_ids[:, 0].tolist() for blocks in slices] == [shown, chosen]


def test_any_size_is_an_ordinary_model_folder(built: Path, tmp_path: Path) -> None:
    chain = open_chain(str(built))
    target = chain.target(layers=3)
    created = create(chain, target, tmp_path / "created")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "created")
    assert model.num_parameters() == target.parameters == created.target.parameters
    assert created.method == "substitution" and created.alpha is None and len(created.swapped) == 1
    assert loss_of(model, chain) == pytest.approx(created.losses["this"], abs=1e-3)
    assert json.loads((tmp_path / "created" / "stillhouse.json").read_text())["made_from"]["swapped"] == list(created.swapped)
    card = (tmp_path / "created" / "README.md").read_text(encoding="utf-8")
    assert "Boomerang distillation" in card and "2510.05064" in card and f"| this | {created.losses['this']:.4g} |" in card
    with pytest.raises(ConfigError, match="is there already"):
        create(chain, target, tmp_path / "created")
    assert create(chain, target, tmp_path / "mixed", alpha=0.5).method == "interpolation"
    assert "2605.07783" in (tmp_path / "mixed" / "README.md").read_text(encoding="utf-8")


def test_an_anchors_size_is_the_anchor(built: Path, tmp_path: Path) -> None:
    chain = open_chain(str(built))
    create(chain, chain.target(parameters=chain.anchors[1].parameters), tmp_path / "same")
    created, anchor = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (tmp_path / "same", chain.folder(1)))
    assert all(torch.equal(created[key], value) for key, value in anchor.items())


@pytest.mark.parametrize(("wish", "words"), [
    ({"parameters": 10}, "reaches from"), ({"layers": 9}, "reaches from 1 to 4"), ({"layers": 2, "hidden": 8}, "channels")])
def test_sizes_out_of_range_are_refused_with_the_range(built: Path, wish: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_chain(str(built)).target(**wish)


def test_anchors_are_models(built: Path) -> None:
    assert anchor_folder(f"{built}:1") == built / "anchors" / "1"
    assert anchor_folder("house-chat") is None
    with pytest.raises(ModelNotFoundError, match="anchors 0 to 2"):
        anchor_folder(f"{built}:7")


def test_a_stopped_chain_resumes_and_ends_the_same(tmp_path: Path, built: Path) -> None:
    config = recipe(built.parent)
    with pytest.raises(StopRequested) as stop:
        build_chain(config, ListRecorder(stop_after=4), tmp_path / "run")
    assert stop.value.report.stopped and [row.layers for row in stop.value.report.anchors] == [4, 2]
    assert (tmp_path / "run" / "anchors" / "1").is_dir() and not (tmp_path / "run" / "anchors" / "2").exists()
    with pytest.raises(ModelNotFoundError, match=r"not complete.*Resume"):
        open_chain(str(tmp_path / "run"))
    assert not build_chain(config, ListRecorder(), tmp_path / "run").stopped
    for number in range(3):
        ours, theirs = (AutoModelForCausalLM.from_pretrained(folder / "anchors" / str(number)).state_dict()
                        for folder in (tmp_path / "run", built))
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_a_missing_anchor_is_reported(tmp_path: Path, built: Path) -> None:
    import shutil

    shutil.copytree(built, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "anchors" / "1")
    with pytest.raises(CorruptModelError, match="Anchor 1"):
        open_chain(str(tmp_path / "copy"))
    (tmp_path / "copy" / FILE).write_text("{")
    with pytest.raises(CorruptModelError, match="cannot be read"):
        open_chain(str(tmp_path / "copy"))


def test_anchors_must_descend(tmp_path: Path, built: Path) -> None:
    config = recipe(built.parent, chain={"anchors": [{"layers": 4}]})
    with pytest.raises(ConfigError, match="descending size"):
        build_chain(config, ListRecorder(), tmp_path / "run")


def test_without_alignment_only_interpolation_is_left(tmp_path: Path, built: Path) -> None:
    chain = {"anchors": [{"layers": 2}], "curve_points": 1, "order": "direct"}
    config = recipe(built.parent, losses={"w_kd": 1, "w_hard": 0.1}, chain=chain)
    build_chain(config, ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert not chain.aligned and chain.curve[0].losses["substitution"] is None
    target = chain.target(layers=3)
    assert create(chain, target, tmp_path / "mixed", measure=False).method == "interpolation"
    with pytest.raises(ConfigError, match="not aligned"):
        create(chain, target, tmp_path / "swapped", method="substitution")


def test_independent_anchors_have_no_origin(tmp_path: Path, built: Path) -> None:
    config = recipe(built.parent, chain={"anchors": [{"layers": 2}], "mode": "independent", "curve_points": 1})
    build_chain(config, ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert chain.anchors[1].origin == ()
    assert torch.equal(AutoModelForCausalLM.from_pretrained(chain.folder(0)).get_input_embeddings().weight,
                       AutoModelForCausalLM.from_pretrained(built.parent / "teacher").get_input_embeddings().weight)


@pytest.mark.parametrize(("chain", "words"), [
    ({"anchors": []}, "at least 1"), ({"anchors": [{"layers": 2, "parameters": 5}]}, "by one of them"),
    ({"anchors": [{}]}, "by one of them"), ({"anchors": [{"model": "x"}]}, "independent")])
def test_recipes_that_describe_no_chain_are_refused(tmp_path: Path, chain: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(tmp_path, chain=chain)


def test_a_size_is_never_worse_than_the_smaller_anchor(built: Path) -> None:
    """Where what was measured speaks against swapping, nothing is swapped and the rest is the identity."""
    chain = open_chain(str(built))
    target = chain.target(layers=3)
    assert chain.expected(target.dimensions) is not None
    loss = chain.anchors[target.larger_anchor + 1].validation_loss
    good, bad = (replace(chain, grid=((target.dimensions, loss + change),)) for change in (-0.1, 0.1))
    assert good.swaps(target) and bad.swaps(target) == ()


def test_a_count_is_answered_by_the_best_measured_shape_near_it(built: Path) -> None:
    chain = open_chain(str(built))
    shapes = valid_shapes(chain.anchors[1].dimensions, chain.anchors[0].dimensions, chain.sizer)
    wanted = shapes[len(shapes) // 2]
    near = [shape for shape in shapes if abs(chain.sizer(shape) - chain.sizer(wanted)) <= 0.03 * chain.sizer(wanted)]
    for best in near:
        measured = replace(chain, grid=tuple((shape, 1.0 if shape == best else 2.0) for shape in shapes))
        if best not in (chain.anchors[0].dimensions, chain.anchors[1].dimensions):
            assert measured.target(parameters=chain.sizer(wanted)).dimensions == best


def test_an_encoder_begins_no_chain(tmp_path: Path) -> None:
    config = recipe(tmp_path).model_copy(update={"teacher": TeacherSpec(model=str(save(masked_model(), tmp_path / "encoder")))})
    with pytest.raises(CompatibilityError, match="A chain is made of models that predict the next token"):
        build_chain(config, ListRecorder(), tmp_path / "run")
    assert not (tmp_path / "run" / "anchors").exists()
