"""A chain from its recipe to models of any size, on tiny models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.chains.folder import FILE, SELECTION, VALIDATION, anchor_folder, open_chain
from core.chains.interpolation import substitute
from core.chains.on_demand import load_anchor, load_anchor_pair, loss_of, read_slice
from core.chains.sizes import valid_shapes
from core.errors import ConfigError, CorruptModelError, ModelNotFoundError
from tests.core.tiny import logits, token_ids
from tests.tiny_chains import chain_recipe


def test_anchors_descend_and_remember_where_they_come_from(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    sizes = [anchor.parameters for anchor in chain.anchors]
    assert sizes == sorted(sizes, reverse=True)
    assert [anchor.dimensions.intermediate_size for anchor in chain.anchors] == [48, 32, 32]
    assert [anchor.origin for anchor in chain.anchors] == [(0, 1, 2, 3), (0, 3), (0,)]
    assert [anchor.ends for anchor in chain.anchors] == [(0, 1, 2, 3), (1, 3), (3,)]
    assert [len(anchor.swap_deltas) for anchor in chain.anchors] == [0, 2, 1]
    assert all(anchor.tokens > 0 and anchor.seconds > 0 for anchor in chain.anchors[1:])
    assert chain.aligned
    assert chain.ends(0) == (1, 3) and chain.ends(1) == (1,)


def test_the_largest_anchor_is_the_teacher_in_another_order(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    teacher = AutoModelForCausalLM.from_pretrained(tiny_chain.parent / "teacher")
    mine = AutoModelForCausalLM.from_pretrained(chain.folder(0))
    torch.testing.assert_close(logits(mine, token_ids()), logits(teacher, token_ids()), rtol=1e-3, atol=1e-3)
    assert not torch.equal(mine.get_input_embeddings().weight, teacher.get_input_embeddings().weight)


def test_every_loss_is_measured_on_the_same_slice(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    for anchor in chain.anchors:
        assert loss_of(load_anchor(chain, anchor.number), chain) == pytest.approx(anchor.validation_loss)
    assert len(chain.curve) >= 2
    for point in chain.curve:
        assert set(point.losses) == {"substitution", "interpolation", "best_alpha", "alpha_0", "alpha_1", "copied", "nearest", "random"}
        assert point.losses["best_alpha"] == min(point.alphas.values())
        assert len(set(point.random)) == 3 and point.losses["random"] == pytest.approx(sum(point.random) / 3)
        assert chain.sizer(point.target.dimensions) == point.target.parameters


def test_swaps_and_shapes_are_chosen_on_text_that_the_curve_is_not_measured_on(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    shown, chosen = (read_slice(tiny_chain / name) for name in (VALIDATION, SELECTION))
    assert len(shown) == len(chosen) and not np.array_equal(shown.input_ids, chosen.input_ids)
    pair = load_anchor_pair(chain, 0)
    shape, loss = next((shape, loss) for shape, loss in chain.grid if shape.layers == 3)
    assert loss == pytest.approx(loss_of(substitute(pair, shape), chain, chosen), abs=1e-5)
    assert loss != pytest.approx(loss_of(substitute(pair, shape), chain, shown), abs=1e-5)
    alone = replace(pair.large.dimensions, layers=3)
    delta = loss_of(substitute(pair, alone, [0]), chain, chosen) - loss_of(pair.small, chain, chosen)
    assert chain.anchors[1].swap_deltas[0] == pytest.approx(delta, abs=1e-5)


@pytest.mark.parametrize(("requested", "words"), [
    ({"parameters": 10}, "reaches from"), ({"layers": 9}, "reaches from 1 to 4"), ({"layers": 2, "hidden": 8}, "channels")])
def test_sizes_out_of_range_are_refused_with_the_range(tiny_chain: Path, requested: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_chain(str(tiny_chain)).target(**requested)


def test_anchors_are_models(tiny_chain: Path) -> None:
    assert anchor_folder(f"{tiny_chain}:1") == tiny_chain / "anchors" / "1"
    assert anchor_folder("house-chat") is None
    with pytest.raises(ModelNotFoundError, match="anchors 0 to 2"):
        anchor_folder(f"{tiny_chain}:7")


def test_a_missing_anchor_is_reported(tmp_path: Path, tiny_chain: Path) -> None:
    import shutil

    shutil.copytree(tiny_chain, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "anchors" / "1")
    with pytest.raises(CorruptModelError, match="Anchor 1"):
        open_chain(str(tmp_path / "copy"))
    (tmp_path / "copy" / FILE).write_text("{")
    with pytest.raises(CorruptModelError, match="cannot be read"):
        open_chain(str(tmp_path / "copy"))


@pytest.mark.parametrize(("chain", "words"), [
    ({"anchors": []}, "at least 1"), ({"anchors": [{"layers": 2, "parameters": 5}]}, "by one of them"),
    ({"anchors": [{}]}, "by one of them"), ({"anchors": [{"model": "x"}]}, "independent")])
def test_recipes_that_describe_no_chain_are_refused(tmp_path: Path, chain: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        chain_recipe(tmp_path, chain=chain)


def test_a_size_is_never_worse_than_the_smaller_anchor(tiny_chain: Path) -> None:
    """Where what was measured speaks against swapping, nothing is swapped and the rest is the identity."""
    chain = open_chain(str(tiny_chain))
    target = chain.target(layers=3)
    assert chain.expected(target.dimensions) is not None
    loss = chain.anchors[target.larger_anchor + 1].validation_loss
    good, bad = (replace(chain, grid=((target.dimensions, loss + change),)) for change in (-0.1, 0.1))
    assert good.swaps(target) and bad.swaps(target) == ()


def test_a_count_is_given_exactly_by_its_best_measured_shape(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    anchors = {anchor.dimensions for anchor in chain.anchors}
    between = valid_shapes(chain.anchors[1].dimensions, chain.anchors[0].dimensions, chain.sizer)
    shapes = [shape for shape in between if shape not in anchors]
    for best in shapes:
        measured = replace(chain, grid=tuple((shape, 1.0 if shape == best else 2.0) for shape in shapes))
        assert measured.target(parameters=chain.sizer(best)).dimensions == best
        assert measured.better_nearby(measured.target(parameters=chain.sizer(best))) is None


def test_every_count_that_the_house_chain_lists_is_given_exactly() -> None:
    chain = open_chain("house-chain")
    for parameters in {2_133_696, *(point.target.parameters for point in chain.curve), *(anchor.parameters for anchor in chain.anchors)}:
        assert chain.target(parameters=parameters).parameters == parameters


def test_what_lies_beside_a_size(tiny_chain: Path) -> None:
    chain = open_chain(str(tiny_chain))
    counts = sorted({chain.sizer(shape) for large, small in zip(chain.anchors[:-1], chain.anchors[1:], strict=True)
                     for shape in valid_shapes(small.dimensions, large.dimensions, chain.sizer)})
    for below, count, above in zip([None, *counts[:-1]], counts, [*counts[1:], None], strict=True):
        target = chain.target(parameters=count)
        assert target.parameters == count and chain.neighbours(target) == (below, above)


def test_a_better_size_nearby_is_offered_and_not_taken() -> None:
    chain = open_chain("house-chain")
    shapes = [shape for shape in valid_shapes(chain.anchors[1].dimensions, chain.anchors[0].dimensions, chain.sizer) if shape.layers == 6]
    near, far = (shape for shape in shapes if shape.intermediate_size in (448, 456))
    measured = replace(chain, grid=((near, 3.6), (far, 3.5)))
    target = measured.target(parameters=chain.sizer(near))
    assert target.dimensions == near
    offered = measured.better_nearby(target)
    assert offered is not None and offered.dimensions == far and offered.parameters == chain.sizer(far)
    assert measured.better_nearby(offered) is None


def test_a_name_that_begins_as_somebodys_home_is_a_name() -> None:
    with pytest.raises(ModelNotFoundError, match="~nobody-of-that-name"):
        open_chain("~nobody-of-that-name")
