"""The parts of a distillation, with their amounts, for `core.methods.schedule`."""

from __future__ import annotations

from core.events import STUDENT_BEFORE, TEACHER
from core.methods.evaluator import ANSWERS, LANGUAGE, SENTIMENT, TRAINED, LanguageEvaluation
from core.methods.retention import compared_parameters
from core.methods.run_folder import RunFolder
from core.methods.schedule import SCORES, TIMED, Part, Schedule
from core.methods.steps import TrainingInputs, steps_of, tokens_per_step, variants_of
from core.recorder import STUDENT
from core.training.base_trainer import points_between
from core.training.checkpoint_folders import latest_step

SCORED_TOKENS = 128 * 3 * 2  # forwards and backwards, for each training item and epoch: about what a score costs


def schedule_of(inputs: TrainingInputs, folder: RunFolder, evaluation: LanguageEvaluation,
                parameters: int) -> tuple[Schedule, dict[str, float]]:
    """Return the schedule of a run that begins or is resumed, and the amount of a step of each variant.

    Args:
        parameters: of the student.
    """
    config, steps, teacher = inputs.config, steps_of(inputs), inputs.teacher.entry.parameters if inputs.teacher is not None else 0
    queried = teacher if config.losses.needs_teacher() else 0
    each = {variant: (6.0 * parameters + 2.0 * (queried if variant == STUDENT else 0)) * tokens_per_step(config)
            for variant in variants_of(config)}
    parts = {f"steps {variant}": Part(steps * amount, "steps") for variant, amount in each.items()}
    interval, measured = config.evaluation.interval(steps), folder.progress.measurements
    points, students = 0, 0
    for variant in each:
        taken = steps if folder.has_model(variant) else latest_step(folder.checkpoints(variant))
        parts[f"steps {variant}"].done = taken * each[variant]
        points += points_between(interval, steps) - (points_between(interval, taken + 1) if taken else 0)
        students += TRAINED[variant] not in measured
    students += STUDENT_BEFORE not in measured
    teachers = int(teacher > 0 and TEACHER not in measured)
    parts[LANGUAGE] = Part((points + students) * evaluation.language_flop(parameters)
                           + teachers * evaluation.language_flop(teacher) + evaluation.states_flop, LANGUAGE)
    parts[SENTIMENT] = Part(students * evaluation.sentiment_flop(parameters) + teachers * evaluation.sentiment_flop(teacher), SENTIMENT)
    parts[ANSWERS] = Part((points + students) * evaluation.answers_flop(parameters), ANSWERS)
    card = config.evaluation.retention
    if card is not None:
        parts[TIMED] = Part(card.seconds, TIMED)
        scores = card.train_items * card.epochs * card.seeds * len(card.tasks)
        parts[SCORES] = Part(SCORED_TOKENS * scores * (compared_parameters(inputs, parameters) + len(each) * parameters), SCORES)
    return Schedule(parts, folder.seconds, {TIMED: 1.0}), each
