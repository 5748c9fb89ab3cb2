"""How the claims of 1503.02531 about soft targets are measured, on scikit-learn's digits and small networks; see `hinton`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.recorder import NullRecorder, Recorder, stop_if_requested
from core.studies.claims.claim import Numbers, ProtocolConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from core.classification.items import ClassificationData, Items

OMITTED = 3  # the digit that the paper leaves out
KEPT = (7, 8)  # the digits that the paper keeps
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 20.0)


@dataclass(frozen=True)
class HintonProtocolConfig(ProtocolConfig):
    """Sizes and steps.

    Attributes:
        teacher, student: hidden units; tiny: of the student that prefers a temperature.
        few: images of the data-poor student; share: of the images, in percent, in the regularisation experiment.
        temperature: of the soft targets; omitted_temperature: where classes are missing.
        teacher_epochs, epochs: passes; few_steps: optimiser steps on few images, far beyond convergence.
        members: of the ensemble, each of `member` hidden units, on `member_items` images.
        random_rows: logits of the gradient identity, of `classes` outcomes.
    """

    teacher: int = 128
    student: int = 32
    tiny: int = 8
    few: int = 30
    share: int = 3
    temperature: float = 4.0
    omitted_temperature: float = 2.0
    teacher_epochs: int = 40
    epochs: int = 40
    few_steps: int = 400
    members: int = 5
    member: int = 16
    member_items: int = 200
    random_rows: int = 200
    classes: int = 10


# ---------------------------------------------------------------------------------------------------- what they share


def _digits(train_items: int | None = None) -> ClassificationData:
    from core.classification.images import load_images
    from core.config import ImagesSpec

    return load_images(ImagesSpec(max_train_items=train_items))


def _trained(data: ClassificationData, items: Items, hidden: int, seed: int, recorder: Recorder, *, epochs: float | None = None,
             steps: int | None = None, soft: Tensor | None = None, hard: float = 0.0, temperature: float = 1.0, dropout: float = 0.0,
             curve: dict[int, float] | None = None) -> PreTrainedModel:
    """Train a network; on hard labels alone where there are no soft targets.

    Args:
        hard: weight of the hard labels beside soft targets.
        curve: receives epoch -> accuracy on the measured images.
    """
    from core.classification.models import new_mlp
    from core.classification.training import LABELS_ONLY, train_classifier
    from core.config import LossSpec, MlpSpec, TrainSpec

    stop_if_requested(recorder)
    model = new_mlp(MlpSpec(hidden=(hidden,), dropout=dropout), data, seed)
    train = TrainSpec(num_train_epochs=epochs or 1.0, max_steps=steps, per_device_train_batch_size=64, learning_rate=5e-3,
                      weight_decay=1e-4, lr_scheduler_type="linear", seed=seed)
    losses = LABELS_ONLY if soft is None else LossSpec(w_kd=1.0, w_hard=hard, temperature=temperature)
    done = train_classifier(model, items, train=train, losses=losses, soft_targets=soft, held_out=data.test if curve is not None else None,
                            recorder=NullRecorder(recorder.should_stop))
    if curve is not None:
        curve |= {epoch: metrics["accuracy"] for epoch, metrics in done.curve.items()}
    return model


def _accuracy(model: PreTrainedModel, data: ClassificationData) -> float:
    from core.classification.predicting import measure, predict_logits

    return measure(predict_logits(model, data.test), data.test.targets)["accuracy"]


def _teacher(data: ClassificationData, seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> PreTrainedModel:
    return _trained(data, data.train, setting.teacher, 1000 + seed, recorder, epochs=setting.teacher_epochs, dropout=0.2)


# ---------------------------------------------------------------------------------------------------- protocols


def high_temperature_matches_logits(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B1: the gradient at a high temperature against the difference of logits, and its size over temperatures."""
    import torch

    from core.training.losses import forward_kl

    generator = torch.Generator().manual_seed(seed)
    z, v = torch.randn(2, setting.random_rows, setting.classes, generator=generator, dtype=torch.float64)
    limit = ((z - z.mean(-1, keepdim=True)) - (v - v.mean(-1, keepdim=True))) / setting.classes

    def gradient(temperature: float) -> Tensor:
        return forward_kl(z.clone(), v.clone(), temperature)[1] * temperature**2

    norms = {temperature: float(gradient(temperature).norm()) for temperature in (1.0, 2.0, 5.0, 10.0, 20.0)}
    inside = [norm for temperature, norm in norms.items() if temperature >= 2]
    return {"limit_error": float((gradient(100.0) - limit).norm() / limit.norm()),
            "norm_spread": (max(inside) - min(inside)) / max(inside),
            **{f"norm_t{temperature:g}": norm for temperature, norm in norms.items()}}


def soft_targets_help_a_small_student(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B2: a student of few images that learns from a teacher of all images, and the same student on their labels."""
    from core.classification.predicting import predict_logits

    data, few = _digits(), _digits(setting.few)
    teacher = _teacher(data, seed, setting, recorder)
    soft = predict_logits(teacher, few.train)
    student = _trained(data, few.train, setting.student, seed, recorder, steps=setting.few_steps, soft=soft,
                       temperature=setting.temperature)
    control = _trained(data, few.train, setting.student, seed, recorder, steps=setting.few_steps)
    accuracies = {"teacher": _accuracy(teacher, data), "soft": _accuracy(student, data), "hard": _accuracy(control, data)}
    return {"gain": 100 * (accuracies["soft"] - accuracies["hard"]), **{name: 100 * value for name, value in accuracies.items()}}


def a_tiny_student_prefers_a_middle_temperature(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B3: the temperature that is best on the images that are chosen on, for a tiny student."""
    from core.classification.predicting import measure, predict_logits

    data = _digits()
    teacher = _teacher(data, seed, setting, recorder)
    soft, losses, accuracies = predict_logits(teacher, data.train), {}, {}
    for temperature in TEMPERATURES:
        student = _trained(data, data.train, setting.tiny, seed, recorder, epochs=setting.epochs, soft=soft, temperature=temperature)
        held_out = measure(predict_logits(student, data.validation), data.validation.targets)
        losses[temperature], accuracies[temperature] = -held_out["accuracy"], 100 * _accuracy(student, data)
    best = min(TEMPERATURES, key=lambda temperature: (losses[temperature], temperature))
    return {"best": best, "middle": float(best not in (TEMPERATURES[0], TEMPERATURES[-1])), "at_best": accuracies[best],
            **{f"t{temperature:g}": value for temperature, value in accuracies.items()}}


def an_omitted_class_comes_back(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B4: recall of a digit that the student never saw, before and after the shift of its bias."""
    from core.classification.bias import choose_shift, shifted
    from core.classification.predicting import predict_logits, recall

    data = _digits()
    teacher, transfer = _teacher(data, seed, setting, recorder), data.train.without_classes([OMITTED])
    soft = predict_logits(teacher, transfer)
    student = _trained(data, transfer, setting.student, seed, recorder, epochs=setting.epochs, soft=soft,
                       temperature=setting.omitted_temperature)
    control = _trained(data, transfer, setting.student, seed, recorder, epochs=setting.epochs)
    validation, test = data.validation, data.test
    chosen = choose_shift(predict_logits(student, validation), validation.targets, [OMITTED])
    own = choose_shift(predict_logits(control, validation), validation.targets, [OMITTED])
    before, of_control = predict_logits(student, test), predict_logits(control, test)
    after = shifted(before, [OMITTED], chosen.b)
    found = {"before": recall(before, test.targets, OMITTED), "after": recall(after, test.targets, OMITTED),
             "control": recall(of_control, test.targets, OMITTED),
             "control_same_b": recall(shifted(of_control, [OMITTED], chosen.b), test.targets, OMITTED),
             "control_own_b": recall(shifted(of_control, [OMITTED], own.b), test.targets, OMITTED)}
    accuracies = {"accuracy_before": before, "accuracy_after": after}
    return {"rise": found["after"] - found["before"], **found, "b": chosen.b, "own_b": own.b,
            **{name: 100 * float((logits.argmax(1) == test.targets).float().mean()) for name, logits in accuracies.items()}}


def two_classes_teach_ten(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B5: accuracy over all digits of a student that saw two, before and after the shift of their biases."""
    from core.classification.bias import choose_shift, shifted
    from core.classification.predicting import predict_logits

    data = _digits()
    teacher, transfer = _teacher(data, seed, setting, recorder), data.train.of_classes(KEPT)
    soft = predict_logits(teacher, transfer)
    epochs = setting.epochs * len(data.train) / len(transfer)  # as many steps as on all digits
    student = _trained(data, transfer, setting.student, seed, recorder, epochs=epochs, soft=soft, temperature=setting.omitted_temperature)
    chosen = choose_shift(predict_logits(student, data.validation), data.validation.targets, KEPT)
    before = predict_logits(student, data.test)
    accuracies = [100 * float((logits.argmax(1) == data.test.targets).float().mean())
                  for logits in (before, shifted(before, KEPT, chosen.b))]
    return {"rise": accuracies[1] - accuracies[0], "before": accuracies[0], "after": accuracies[1], "b": chosen.b}


def soft_targets_regularise(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B6: 3% of the images, soft against hard targets, to the end of training without early stopping."""
    from core.classification.predicting import predict_logits

    data = _digits()
    few = _digits(round(len(data.train) * setting.share / 100))
    teacher = _teacher(data, seed, setting, recorder)
    soft_curve: dict[int, float] = {}
    hard_curve: dict[int, float] = {}
    _trained(data, few.train, setting.teacher, seed, recorder, steps=setting.few_steps, curve=soft_curve,
             soft=predict_logits(teacher, few.train), temperature=setting.temperature)
    _trained(data, few.train, setting.teacher, seed, recorder, steps=setting.few_steps, curve=hard_curve)
    final = {name: 100 * curve[max(curve)] for name, curve in (("soft", soft_curve), ("hard", hard_curve))}
    falls = {f"{name}_fall": 100 * max(curve.values()) - final[name] for name, curve in (("soft", soft_curve), ("hard", hard_curve))}
    return {"gain": final["soft"] - final["hard"], **final, **falls, "images": float(len(few.train)), "all": 100 * _accuracy(teacher, data)}


def one_student_keeps_the_gain(seed: int, setting: HintonProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B7: an ensemble against one of its kind, and a student of the same size that learns from its mean."""
    from core.classification.predicting import measure, predict_logits
    from core.models.mixtures import mixed_logits

    data = _digits(setting.member_items)
    members = [_trained(data, data.train, setting.member, 100 * seed + number, recorder, epochs=4 * setting.epochs)
               for number in range(1, setting.members + 1)]
    equal = [1 / setting.members] * setting.members
    soft = mixed_logits([predict_logits(model, data.train) for model in members], equal, "arithmetic", setting.temperature)
    mean = mixed_logits([predict_logits(model, data.test) for model in members], equal, "arithmetic", 1.0)
    student = _trained(data, data.train, setting.member, 100 * seed, recorder, epochs=4 * setting.epochs, soft=soft, hard=0.1,
                       temperature=setting.temperature)
    control = _trained(data, data.train, setting.member, 100 * seed, recorder, epochs=4 * setting.epochs)
    accuracies = {"ensemble": measure(mean, data.test.targets)["accuracy"], "student": _accuracy(student, data),
                  "hard": _accuracy(control, data), "member": sum(_accuracy(model, data) for model in members) / len(members)}
    found = {name: 100 * value for name, value in accuracies.items()}
    gain, kept = found["ensemble"] - found["hard"], found["student"] - found["hard"]
    return {"half_kept": kept - 0.5 * gain, "gain": gain, "kept": kept, **found}
