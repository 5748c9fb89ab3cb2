"""What it costs to keep a teacher's answers, and what that saves, by form: before the first of them is given.

A step costs 2 + 6r units (one unit is a forward pass of the teacher; r is the student's share of the teacher's parameters) with a live
teacher, and 6r with kept answers, where reading them takes no time. So kept answers make a step at most (1 + 3r) / (3r) times as fast. The
first reading of each block is live.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.config.models import SignalSpec
from core.methods.steps import TrainingInputs
from core.methods.teacher_signals import require_keepable
from core.signals.forms import StoredForm, stored_form
from core.system.files import require_free_disk
from core.system.paths import signals_dir
from core.system.units import format_bytes

FORMS = {"hidden": "last hidden states", "top_k": "likeliest tokens", "sampled": "drawn tokens"}


@dataclass(frozen=True)
class SignalsCost:
    """What keeping a teacher's answers comes to.

    Attributes:
        ratio: r, the student's share of the teacher's parameters.
        passes: how often each block is read in this run.
        bytes: form -> size on disk, of all blocks; that of drawn tokens is an estimate.
    """

    ratio: float
    passes: float
    bytes: dict[str, int]

    @property
    def bound(self) -> float:
        """How many times as fast a step becomes at most."""
        return (1 + 3 * self.ratio) / (3 * self.ratio)

    @property
    def this_run(self) -> float:
        """How many times as fast all steps of this run become at most: the first reading of each block is live."""
        live = 2 + 6 * self.ratio
        read = max(self.passes, 1.0)
        return live * read / (live + 6 * self.ratio * (read - 1))

    def __str__(self) -> str:
        sizes = ", ".join(f"{FORMS[form]} {'about ' if form == 'sampled' else ''}{format_bytes(size)}" for form, size in self.bytes.items())
        best = ("Keep hidden states: they are the teacher's own distribution" if self.this_run > 1.05 else
                "In this run alone they gain nothing: each block is read once")
        return (f"On disk: {sizes}. The student has {self.ratio:.0%} of the teacher's parameters: a step with kept answers is at most "
                f"{self.bound:.2g} times as fast, all steps of this run {self.this_run:.2g} times. {best}.")


def signals_cost(inputs: TrainingInputs, student_parameters: int, passes: float) -> SignalsCost:
    """Return the cost of keeping the answers of a run's teacher.

    Raises:
        CompatibilityError: the recipe keeps answers that would never be read twice.
        DiskFullError: the recipe keeps answers for which there is no room.
    """
    teacher, config, train = inputs.teacher, inputs.config, inputs.data.train
    assert teacher is not None and config.teacher is not None, "answers are a teacher's"
    chosen = config.teacher.signals
    width, vocabulary = teacher.model.config.get_text_config().hidden_size, len(inputs.tokenizer)
    sizes = {form: round(train.input_ids.size * _form(chosen, form, config.losses.temperature).bytes_per_token(width, vocabulary))
             for form in FORMS}
    if chosen.form in FORMS:
        require_keepable(config, teacher)
        require_free_disk(signals_dir(), sizes[chosen.form])
    return SignalsCost(student_parameters / teacher.entry.parameters, passes, sizes)


def _form(spec: SignalSpec, form: str, temperature: float) -> StoredForm:
    return stored_form(spec.model_copy(update={"form": form}), temperature)
