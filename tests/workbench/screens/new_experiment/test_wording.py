"""Errors in the words of the form, and how a text is masked, in one sentence."""

from __future__ import annotations

import pytest

from core.config import MaskingSpec
from core.errors import ConfigError, DataError, FetchModel, SetField, StillhouseError
from core.planning.preflight import Check
from workbench import paths
from workbench.screens.new_experiment import wording


@pytest.mark.parametrize(("spec", "words"), [
    (MaskingSpec(), "At every step 15% of the tokens are masked and predicted, rare ones more often: 80% of them are replaced by "
                    "[MASK], 10% by a random token, and 10% are left unchanged."),
    (MaskingSpec(mlm_probability=0.3, mask_replace_prob=0.9, mlm_smoothing=0),
     "30% of the tokens are masked and predicted: 90% of them are replaced by [MASK], 10% by a random token."),
    (MaskingSpec(whole_word_mask=True), "15% of the words are masked and predicted")])
def test_masking_in_one_sentence(spec: MaskingSpec, words: str):
    assert words in wording.masking(spec)


@pytest.mark.parametrize(("problem", "says"), [
    (DataError("No 'reviw'.", "", "Set data.column.", suggestion=SetField("data.column", "review", guess=True)),
     "No 'reviw'. Did you mean 'review'? Choose it under 'Column'."),
    (DataError("No text.", "", "Name the column.", suggestion=SetField("data.column", "review")),
     "No text. Name the column: 'review' under 'Column'."),
    (DataError("No text.", "", "Set data.column to one of them.", field="data.column"), "No text. Set 'Column' to one of them."),
    (ConfigError("Not here.", "", "Fetch it first.", suggestion=FetchModel("bert")), "Not here. Fetch it first, on the Models page."),
    (Check("text", False, "No column.", "Name it.", field="data.column"), "No column. Name it under 'Column'."),
])
def test_errors_name_the_fields_of_the_form(problem: StillhouseError | Check, says: str):
    assert wording.in_form(problem) == says


def test_an_upload_is_called_by_its_name():
    path = str(paths.uploads_dir() / "film-0123456789.csv")
    assert wording.in_form(DataError(f"{path} is empty."), path) == "film.csv is empty."
