"""A repetition on digits, small enough to be run whole; and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.classification.items import ClassificationData
from core.config import LossSpec, SpecialistsSpec, TrainSpec
from core.errors import ConfigError, CorruptModelError, DataError, ModelNotFoundError
from core.events import RunWarning, TrainingNetwork
from core.recorder import ListRecorder, StopRequested
from core.specialists import measuring, networks
from core.specialists.experiment import STUDENTS, Repetition, SeedResult
from core.specialists.networks import SpecialistData, load_data, new_network
from core.specialists.panel import load_panel

SPEC = SpecialistsSpec(source="digits", train_items=400, test_items=200, hidden=(8,), clusters=3, size=4, epochs=2)
TRAIN = TrainSpec(num_train_epochs=4, per_device_train_batch_size=32, learning_rate=2e-2, seed=0)


def repetition(folder: Path, recorder: ListRecorder | None = None, spec: SpecialistsSpec = SPEC,
               data: SpecialistData | None = None) -> Repetition:
    folder.mkdir(exist_ok=True)
    return Repetition(data or load_data(spec), spec, TRAIN, LossSpec(), TRAIN.seed, folder, recorder or ListRecorder())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repetition, SeedResult]:
    whole = repetition(tmp_path_factory.mktemp("repetition"))
    return whole, whole.run()


def test_everything_is_measured(finished: tuple[Repetition, SeedResult]) -> None:
    whole, result = finished
    assert [len(each) for each in result.sets] == [4] * len(result.sets) and len(result.improvements) == len(result.sets)
    assert 0.3 < result.generalist <= 1 and 0.3 < result.combined <= 1
    assert set(result.students or {}) == set(STUDENTS)
    assert sum(row.items for row in result.coverage) == len(whole.data.data.test)
    assert sum(row.generalist for row in result.coverage) == round(result.generalist * len(whole.data.data.test))
    spent = sum(count for name, count in result.items.items() if name.startswith(("generalist", "specialist")))
    assert result.members == max(2, round(spent / result.items["generalist"]))
    assert len({count for name, count in result.items.items() if name.startswith("student")}) == 1, "equal student items"
    assert SeedResult.from_dict(result.to_dict()) == result


def test_a_saved_panel_answers_as_it_was_measured(finished: tuple[Repetition, SeedResult]) -> None:
    whole, result = finished
    panel, test = load_panel(whole.folder / "panel"), whole.data.data.test
    answer = panel.answer(test)
    assert measuring.accuracy(answer.combined.probabilities, test.targets.numpy()) == result.combined
    assert np.allclose(answer.soft_targets.softmax(1), answer.combined.probabilities, atol=1e-6)
    assert np.load(whole.folder / "panel" / "covariance.npy").shape == (10, 10)
    heard = np.any([each.relevant for each in answer.opinions], axis=0)
    assert (answer.combined.probabilities[~heard] == answer.generalist[~heard]).all()


def test_a_gain_is_that_of_its_definition(finished: tuple[Repetition, SeedResult]) -> None:
    whole, result = finished
    panel, test = load_panel(whole.folder / "panel"), whole.data.data.test
    gain, specialist = result.improvements[0], panel.specialists[0]
    own = [item for item in range(len(test)) if int(test.targets[item]) in gain.classes]
    with torch.no_grad():
        said = specialist.model(**test.batch(torch.tensor(own), torch.device("cpu"))).logits[:, :-1]
    right = sum(gain.classes[int(row.argmax())] == int(test.targets[item]) for row, item in zip(said, own, strict=True))
    assert gain.items == len(own) and gain.specialist == pytest.approx(right / len(own))


def test_a_specialist_speaks_with_the_natural_prior(finished: tuple[Repetition, SeedResult]) -> None:
    whole, _ = finished
    specialist, test = load_panel(whole.folder / "panel").specialists[0], whole.data.data.test
    share = float(np.isin(whole.data.data.train.targets, specialist.classes).mean())
    with torch.no_grad():
        trained = specialist.model(**test.inputs).logits.double().softmax(1).numpy()
    natural = trained * np.array([*[share / 0.5] * 4, (1 - share) / 0.5])  # Bayes: half and half becomes the natural share
    assert np.allclose(specialist.probabilities(test), natural / natural.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_stopped_repetition_resumes_after_its_last_network(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"distil": False})
    with pytest.raises(StopRequested):
        repetition(tmp_path, ListRecorder(stop_after=0), spec).run()
    assert not list(tmp_path.iterdir())
    data, recorder = load_data(spec), _StopsAfter(2)
    with pytest.raises(StopRequested):
        repetition(tmp_path, recorder, spec, data).run()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["generalist", "specialist-1"]
    again = ListRecorder()
    result = repetition(tmp_path, again, spec, data).run()
    assert next(part.network for part in again.of(TrainingNetwork)) == "specialist 2"
    assert result.students is None and result == repetition(tmp_path, ListRecorder(), spec, data).run()


class _StopsAfter(ListRecorder):
    """Requests a stop once so many networks have begun, and then one more begins."""

    def __init__(self, networks: int) -> None:
        super().__init__()
        self.networks = networks

    def should_stop(self) -> bool:
        return len(self.of(TrainingNetwork)) > self.networks


def test_a_deleted_member_and_a_changed_one_are_named(finished: tuple[Repetition, SeedResult], tmp_path: Path) -> None:
    whole, _ = finished
    panel = load_panel(whole.folder / "panel")
    panel.save(tmp_path / "copy")
    weights = tmp_path / "copy" / "specialist-2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptModelError, match="specialist-2"):
        load_panel(tmp_path / "copy")
    weights.unlink()
    with pytest.raises(ModelNotFoundError, match=r"'specialist-2' of .* is not there any more"):
        load_panel(tmp_path / "copy")
    with pytest.raises(ModelNotFoundError, match="no generalist with specialists"):
        load_panel(tmp_path / "none")


def test_a_class_that_nothing_is_confused_with_is_warned_of(tmp_path: Path) -> None:
    recorder = ListRecorder()
    spec = SPEC.model_copy(update={"size": None, "clusters": 6, "distil": False})
    result = repetition(tmp_path, recorder, spec).run()
    assert bool(result.single) == bool(recorder.of(RunWarning))
    assert sorted([*result.single, *(each for members in result.sets for each in members)]) == list(range(10))


def test_more_clusters_than_classes_leave_no_specialist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="11 clusters were requested of 10 classes"):
        repetition(tmp_path, spec=SPEC.model_copy(update={"clusters": 11})).run()
    assert not list(tmp_path.iterdir()), "nothing is trained before the clusters can be"


def test_soft_targets_are_another_guard(finished: tuple[Repetition, SeedResult], tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"guard": "soft_targets", "distil": False})
    whole = repetition(tmp_path, spec=spec, data=finished[0].data)
    result = whole.run()
    panel = load_panel(tmp_path / "panel")
    assert panel.specialists[0].model.config.num_labels == 10
    assert panel.specialists[0].probabilities(whole.data.data.test).shape == (200, 5)
    assert result.combined > 0.3


def without(data: ClassificationData, classes: Sequence[int]) -> ClassificationData:
    return replace(data, train=data.train.without_classes(classes))


def test_a_data_set_without_items_of_a_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = networks.load_images
    monkeypatch.setattr(networks, "load_images", lambda spec: without(whole(spec), (3,)))
    with pytest.raises(DataError, match="no training item of 3"):
        load_data(SPEC)
    monkeypatch.setattr(networks, "load_images", lambda spec: without(whole(spec), range(10)))
    with pytest.raises(DataError, match="no training item of 0, 1, 2, 3, 4 and more"):
        load_data(SPEC)


def test_texts_of_a_file_are_read_with_their_labels(tmp_path: Path) -> None:
    rows = [f"{word} number {number},{word}" for number in range(30) for word in ("refund", "delivery", "return")]
    (tmp_path / "intents.csv").write_text("\n".join(["text,label", *rows]))
    found = load_data(SpecialistsSpec(source=str(tmp_path / "intents.csv")))
    assert found.data.labels == ("delivery", "refund", "return") and found.groups is None
    assert len(found.texts) == len(found.data.test)
    logits = new_network(found, 4, (5,), 0)(**found.data.test.inputs).logits
    assert logits.shape == (len(found.data.test), 3)


def test_planted_texts_have_their_groups_and_a_best_accuracy() -> None:
    found = load_data(SpecialistsSpec(train_items=1000, test_items=300))
    assert found.groups is not None and len(found.groups) == len(found.data.labels) == 40
    assert 0.6 < (found.best_accuracy or 0) < 0.95
    assert (found.encode(found.texts[:3]).targets == 0).all()
