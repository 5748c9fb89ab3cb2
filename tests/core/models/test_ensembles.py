"""An ensemble as a model reference: parsed, described, loaded, measured, chatted with; and members that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.data.packing import Blocks
from core.errors import CompatibilityError, ModelNotFoundError
from core.evaluation.classes import class_probabilities
from core.evaluation.language import evaluate_language
from core.generation.streaming import generate
from core.models import catalog
from core.models.ensembles import members_of, parse_ensemble, split_references
from core.models.forward import forward, output_head, uses_token_types
from core.models.weight_digests import loaded_hash
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import classifier, masked_model, save


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two tiny chat models of one tokenizer, of other sizes and seeds."""
    folder = tmp_path_factory.mktemp("members")
    return [str(save_chat_model(folder / name, layers=layers, seed=seed)) for name, layers, seed in (("a", 2, 0), ("b", 1, 1))]


def text() -> Blocks:
    ids = torch.randint(10, 200, (3, 24), generator=torch.Generator().manual_seed(0)).numpy().astype("int32")
    return Blocks(ids, torch.ones(3, 24).numpy(), documents=3, tokens=72)


@pytest.mark.parametrize(("written", "members_", "weights"), [
    ("arithmetic(a, b)", ("a", "b"), (0.5, 0.5)), ("geometric(3 a,1 ./x y)", ("a", "./x y"), (0.75, 0.25)),
    ("arithmetic(one)", ("one",), (1.0,))])
def test_a_reference_is_read_and_written(written: str, members_: tuple[str, ...], weights: tuple[float, ...]) -> None:
    found = parse_ensemble(written)
    assert found is not None and found.members == members_ and found.weights == weights
    assert parse_ensemble(found.with_members(members_)) == found
    assert parse_ensemble("house-chat") is None


@pytest.mark.parametrize("written", ["arithmetic()", "arithmetic(a,)", "geometric(1 a, b)", "arithmetic(0 a, 0 b)",
                                     "arithmetic(arithmetic(a))"])
def test_a_reference_that_names_no_ensemble_is_explained(written: str) -> None:
    with pytest.raises(ModelNotFoundError):
        parse_ensemble(written)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_mean_is_that_of_the_members_everywhere(members: list[str], mean: str) -> None:
    loaded = catalog.load(f"{mean}(1 {members[0]}, 3 {members[1]})", dtype=torch.float32)
    alone = [catalog.load(each, dtype=torch.float32) for each in members]
    assert loaded.entry.parameters == sum(each.entry.parameters for each in alone) and loaded.entry.kind == "ensemble"
    ids = torch.randint(10, 200, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        log_p = [each.model(input_ids=ids).logits.log_softmax(-1) for each in alone]
        arithmetic, geometric = 0.25 * log_p[0].exp() + 0.75 * log_p[1].exp(), (0.25 * log_p[0] + 0.75 * log_p[1]).softmax(-1)
        expected = arithmetic if mean == "arithmetic" else geometric
        torch.testing.assert_close(loaded.model(input_ids=ids).logits.softmax(-1), expected, rtol=1e-4, atol=1e-6)
        states = forward(loaded.model, ids).head_input
        torch.testing.assert_close(output_head(loaded.model).logits(states).softmax(-1), expected, rtol=1e-4, atol=1e-6)
    assert [type(each) for each in members_of(loaded.model)] == [type(each.model) for each in alone]
    assert loaded_hash(loaded.model) not in {loaded_hash(each.model) for each in alone}


def test_an_ensemble_of_twins_measures_and_speaks_as_one_of_them(members: list[str]) -> None:
    twins, alone = (catalog.load(name, dtype=torch.float32) for name in (f"arithmetic({members[0]}, {members[0]})", members[0]))
    measured = [evaluate_language(each.model, text(), alone.model, tokenizer=alone.tokenizer, batch_size=2, device="cpu")
                for each in (twins, alone)]
    assert measured[0]["cross_entropy"] == pytest.approx(measured[1]["cross_entropy"], abs=1e-5)
    assert measured[0]["kl_to_teacher"] == pytest.approx(0, abs=1e-6)
    answers = [generate(each.model, each.tokenizer, "Write a review.", max_new_tokens=8, seed=1).text for each in (twins, alone)]
    assert answers[0] == answers[1]


def test_one_member_is_allowed(members: list[str]) -> None:
    assert catalog.describe(f"arithmetic({members[0]})").parameters == catalog.describe(members[0]).parameters


def test_members_that_do_not_fit_say_which_differ(members: list[str], tmp_path: Path) -> None:
    encoder = str(save(masked_model(), tmp_path / "encoder"))
    with pytest.raises(CompatibilityError, match=r"is a masked model.*causal"):
        catalog.describe(f"arithmetic({members[0]}, {encoder})")
    with pytest.raises(CompatibilityError, match=r"knows 4,096 tokens"):
        catalog.describe(f"arithmetic({members[0]}, house-chat)")
    with pytest.raises(CompatibilityError, match=r"'house-digits' .*images"):
        catalog.describe(f"arithmetic({members[0]}, house-digits)")
    with pytest.raises(ModelNotFoundError, match=r"no model '\./gone'"):
        catalog.load(f"arithmetic({members[0]}, ./gone)")


def test_classifiers_of_texts_are_averaged_too_and_other_labels_are_named(tmp_path: Path) -> None:
    folders = [str(save(classifier(seed=seed), tmp_path / str(seed))) for seed in (0, 1)]
    loaded = catalog.load(f"arithmetic({', '.join(folders)})", dtype=torch.float32)
    alone = [catalog.load(each, dtype=torch.float32) for each in folders]
    assert uses_token_types(loaded.model) == uses_token_types(alone[0].model)
    shares = [[each.probability for each in class_probabilities(one.model, one.tokenizer, "a good film", "a bad one")]
              for one in (loaded, *alone)]
    assert shares[0] == pytest.approx([(first + second) / 2 for first, second in zip(*shares[1:], strict=True)], abs=1e-5)
    other = save(classifier(("ham", "spam")), tmp_path / "other")
    with pytest.raises(CompatibilityError, match="tells apart ham, spam"):
        catalog.load(f"arithmetic({folders[0]}, {other})")


def test_a_list_of_references_is_cut_between_them_alone() -> None:
    assert split_references(" house-chat, arithmetic(a, 0.5 b) ,geometric(c,d),, house-chat") == [
        "house-chat", "arithmetic(a, 0.5 b)", "geometric(c,d)"]
    assert split_references("") == []
