"""What fills a blank, and how models differ about it, against the definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.data.tokenizers import train_masked_tokenizer
from core.errors import CompatibilityError, CorruptModelError, DataError
from core.evaluation.blanks import Place, compare_blanks, fill_blanks
from core.models.entries import LoadedModel
from tests.core.chat_models import chat_tokenizer
from tests.core.masked_models import POSITIONS, TEXTS, masked_model, masked_tokenizer

TOKENIZER = masked_tokenizer()
SENTENCE = "the [MASK] was [MASK]"


def loaded(model: Any, tokenizer: Any = TOKENIZER) -> LoadedModel:
    return LoadedModel(model, tokenizer, None)


def probabilities(model: Any, position: int, text: str = SENTENCE) -> torch.Tensor:
    """The distribution (V,) at a position, [CLS] being 0."""
    with torch.no_grad():
        return model(input_ids=TOKENIZER(text, return_tensors="pt")["input_ids"]).logits[0, position].softmax(-1)


def another_tokenizer() -> Any:
    """Another vocabulary: most words of `TEXTS` have another number in it, and some have none."""
    return train_masked_tokenizer(({"text": text} for text in ("zebras and the film", "the plot was good", "quite good")), 60, POSITIONS)


def test_fills_are_the_most_likely_tokens_of_each_blank():
    model = masked_model(2)
    fills = fill_blanks(model, TOKENIZER, SENTENCE, 4)
    assert [len(each) for each in fills] == [4, 4]
    expected = probabilities(model, 2)
    assert fills[0][0].token == TOKENIZER.decode([expected.argmax().item()])
    assert fills[0][0].probability == pytest.approx(expected.max().item())
    assert [fill.probability for fill in fills[1]] == sorted((fill.probability for fill in fills[1]), reverse=True)


@pytest.mark.parametrize("written", ["the <mask> was [mask]", "the [Mask] was <MASK>"])
def test_blanks_may_be_written_as_any_family_does(written: str):
    model = masked_model(2)
    assert fill_blanks(model, TOKENIZER, written) == fill_blanks(model, TOKENIZER, SENTENCE)


@pytest.mark.parametrize(("text", "message"), [
    ("no blank here", "There is no blank in 'no blank here'. A sentence with [MASK] was expected"),
    (" ", "There is no text"), ("[MASK] " * 60, "reads 48 at most")])
def test_what_cannot_be_filled_is_reported(text: str, message: str):
    with pytest.raises(DataError) as error:
        fill_blanks(masked_model(1), TOKENIZER, text)
    assert message in str(error.value)


def test_a_tokenizer_without_a_mask_token_and_non_finite_weights_are_reported():
    with pytest.raises(CompatibilityError, match="no mask token"):
        fill_blanks(masked_model(1), chat_tokenizer(), SENTENCE)
    broken = masked_model(1)
    with torch.no_grad():
        broken.cls.predictions.bias.fill_(float("nan"))
    with pytest.raises(CorruptModelError, match="not numbers"):
        fill_blanks(broken, TOKENIZER, SENTENCE)


def test_every_word_has_its_rank_and_probability_with_each_model():
    teacher, student = masked_model(4), masked_model(2, seed=1)
    blank = compare_blanks([loaded(teacher), loaded(student)], SENTENCE, 5)[1]
    for number, model in enumerate((teacher, student)):
        exact = probabilities(model, 4)
        first = [TOKENIZER.decode([token]) for token in exact.topk(5).indices.tolist()]
        assert [word.token for word in sorted(blank.words, key=lambda word: word.places[number].rank)][:5] == first
        for word in blank.words:
            share = exact[TOKENIZER.convert_tokens_to_ids(word.token)].item()
            assert word.places[number].probability == pytest.approx(share, rel=1e-5)
            assert word.places[number].rank == 1 + int((exact > share).sum())
    assert 5 < len(blank.words) <= 10
    best = [min(place.rank for place in word.places) for word in blank.words]
    assert best == sorted(best)


def test_the_divergence_is_its_definition_and_none_from_itself():
    teacher, student = masked_model(4), masked_model(2, seed=1)
    blank = compare_blanks([loaded(teacher), loaded(student), loaded(teacher)], "the [MASK]")[0]
    p, q = (probabilities(model, 2, "the [MASK]") for model in (teacher, student))
    assert blank.divergences[1] == pytest.approx((p * (p / q).log()).sum().item(), rel=1e-4)
    assert (blank.divergences[0], blank.divergences[2]) == (pytest.approx(0, abs=1e-6),) * 2


def test_padded_embeddings_do_not_count():
    teacher, student = masked_model(2), masked_model(2, width=len(TOKENIZER) + 8)
    with torch.no_grad():
        student.get_output_embeddings().bias[len(TOKENIZER):] = 50.0  # rows that stand for no token, and would take all probability
    blank, = compare_blanks([loaded(teacher), loaded(student)], "the [MASK]")
    assert all(word.token for word in blank.words), "rows of the padding read as nothing"
    assert sum(word.places[1].probability for word in blank.words) > 0.05
    assert 0 < blank.divergences[1] < 5


def test_other_vocabularies_are_matched_by_the_text_and_have_no_divergence():
    foreign = another_tokenizer()
    models = [loaded(masked_model(2)), loaded(masked_model(2, width=len(foreign), seed=3), foreign), loaded(masked_model(3, seed=2))]
    blank, = compare_blanks(models, "the [MASK]", 200)
    assert blank.divergences[1] is None and blank.divergences[2] > 0
    words = {word.token: word.places for word in blank.words}
    assert len(words) == len(blank.words)
    assert all(words["film"]) and TOKENIZER.convert_tokens_to_ids("film") != foreign.convert_tokens_to_ids("film")
    with torch.no_grad():
        exact = models[1].model(input_ids=foreign("the [MASK]", return_tensors="pt")["input_ids"]).logits[0, 2].softmax(-1)
    assert words["film"][1].probability == pytest.approx(exact[foreign.convert_tokens_to_ids("film")].item(), rel=1e-5)
    assert isinstance(words["movie"][0], Place) and words["movie"][1] is None and words["movie"][2] is not None
    assert "movie" in " ".join(TEXTS)


def test_one_model_alone_is_its_own_first():
    blank, = compare_blanks([loaded(masked_model(1))], "the [MASK]", 3)
    assert [word.places[0].rank for word in blank.words] == [1, 2, 3]
