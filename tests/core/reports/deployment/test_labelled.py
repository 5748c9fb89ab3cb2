"""Forms of classifiers: accuracy as the task's evaluation gives it, and where it is lost."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.models import catalog
from core.reports.deployment.forms import torch_form
from core.reports.deployment.labelled import LabelledScores, labelled_scores, score_examples
from core.tasks.data import Example, TaskData, data_warnings
from core.tasks.fine_tuning import evaluate_task
from tests.core.masked_models import classifier, save
from tests.core.tasks.encoders import sentiment


def task(held_out: int = 40) -> TaskData:
    return sentiment(train=20, held_out=held_out)


def scores(right: dict[str, list[int]], texts: list[str] | None = None) -> LabelledScores:
    """Two labels, given as listed, with .9; the right label is always 1."""
    items = tuple(Example(text, 1) for text in texts or [f"text {number}" for number in range(len(next(iter(right.values()))))])
    data = TaskData("made", "classification", ("no", "yes"), items[:2], items)
    return LabelledScores(data, {form: np.log(np.array([[0.1, 0.9] if each else [0.9, 0.1] for each in given], np.float32))
                                 for form, given in right.items()}, 5)


def test_it_is_what_the_evaluation_of_the_task_measures(tmp_path: Path) -> None:
    loaded = catalog.load(str(save(classifier(("positive", "negative"), seed=3), tmp_path / "c")), dtype=torch.float32)  # labels swapped
    data, shares = task(), []
    form = torch_form("student", loaded)
    found = labelled_scores([form], data, {"student": score_examples(form, data, shares.append)})
    usual = evaluate_task(loaded, data)
    assert found.quality("student").value == pytest.approx(usual["accuracy"]) and shares[0] == 0
    assert np.exp(found.log_probabilities["student"]).sum(1) == pytest.approx(1, abs=1e-5)
    recalls = {group.name: group.quality["student"].value for group in found.groups() if group.by == "class"}
    assert recalls == pytest.approx({name: usual[f"recall_{name}"] for name in data.labels})
    assert sum(group.items for group in found.groups() if group.by == "length") == 40
    # Equal texts are counted once, here and in the metrics of the evaluation.
    assert usual["distinct"] == found.quality("student").n < usual["items"] == 40
    assert found.quality("student").over == "distinct texts"


def test_what_is_lost_comes_first_among_the_worst() -> None:
    found = scores({"teacher": [1, 1, 1, 0], "int8": [1, 0, 1, 1]})
    lost, = found.worst("int8", "teacher", 5)
    assert lost.text == "text 1" and lost.given == {"teacher": "yes", "int8": "no"}
    assert lost.probability == pytest.approx({"teacher": 0.9, "int8": 0.1})
    assert found.loss("int8", "teacher").value == 0 and found.further("int8", "teacher")["agreement"].value == 0.5
    head, rows = found.table()
    assert head[:4] == ["text", "pair", "label", "teacher label"] and rows[1][3:] == ["yes", pytest.approx(0.9), "no", pytest.approx(0.1)]


def test_repeated_texts_widen_the_intervals() -> None:
    alone = scores({"teacher": [1] * 24, "int8": [1] * 24})
    copied = scores({"teacher": [1] * 24, "int8": [1] * 24}, [f"text {number % 6}" for number in range(24)])
    assert copied.quality("int8").low < alone.quality("int8").low and copied.quality("int8").n == 6
    assert copied.loss("int8", "teacher").high > alone.loss("int8", "teacher").high and copied.loss("int8", "teacher").n == 6


def test_repeated_shared_few_and_skewed_items_are_warned_of() -> None:
    usual = task(400)
    assert any("repeat a text" in each for each in data_warnings(usual)) and any("also trained on" in each for each in data_warnings(usual))
    fine = TaskData("fine", "classification", ("no", "yes"), *(tuple(
        Example(f"{part} {number}", number % 2) for number in range(200)) for part in ("train", "held out")))
    assert data_warnings(fine) == []
    skewed = replace(fine, validation=tuple(Example(item.text, 1) for item in fine.validation))
    assert data_warnings(skewed) == ["The split is skewed: 'no' is 50% of what is trained on and 0% of what is held out."]
    few = replace(fine, validation=fine.validation[:28])
    assert data_warnings(few)[0].startswith("Only 28 distinct texts") and math.isclose(98 / math.sqrt(28), 18.5, abs_tol=0.05)
