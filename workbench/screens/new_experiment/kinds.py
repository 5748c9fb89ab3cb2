"""What the form offers by what the models predict: the next token (causal), or the masked ones (masked).

A setting that means nothing to models of one kind is not offered with them, and is at its default in what the form writes. When
another teacher changes the kind, what belonged to the old one is put aside, and comes back with a teacher of that kind.

No Streamlit here, as in `forms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.config import DistillConfig
from core.data.masking import BLANKS, has_blank
from core.models.architectures import ARCHITECTURE_SPECS, Objective
from workbench.screens.new_experiment import forms, starting_points
from workbench.screens.new_experiment.forms import LEAVES, Draft

if TYPE_CHECKING:
    from core.models.entries import ModelEntry

DISTILBERT = "distilbert"  # the recipe of the triple loss, and the architecture
STASHED_SETTINGS = "settings of other kinds"  # in a draft: kind -> what was set for it
# Answers and questions, the weights of their tokens, widths that no encoder's architecture spec describes.
CAUSAL_ONLY = ("student.hidden", "student.intermediate_size", "student.pruning_criterion", "data.corpus_epochs", "data.prompt_weight",
               "data.label_weight",
               "data.identity_question_every", "evaluation.sentiment_items", "evaluation.max_new_tokens",
               *(path for path in LEAVES if path.startswith(("teacher.signals.", "teacher.server."))))
MASKED_ONLY = ("student.architecture", "student.dropout", "losses.kd_positions", *(path for path in LEAVES if path.startswith("masking.")))
# What the triple loss says, as its recipe has it; the rest of the experiment stays.
TRIPLE = (*(path for path in LEAVES if path.startswith(("losses.", "masking."))), "student.layers", "student.layer_map", "student.init",
          "student.architecture", "student.dropout")
DEPENDENT = (*CAUSAL_ONLY, *TRIPLE, "evaluation.prompts", "data.block_length")


def of_model(entry: ModelEntry) -> Objective | None:
    """Return the objective of a model; None for one with a head of a labelled task."""
    return entry.task if entry.task in ("causal", "masked") else None


def of_settings(draft: Draft) -> Objective:
    """Return the model type implied by the settings, where no model is known: that of a new architecture, or of settings specific to it."""
    if draft["student.from_scratch"]:
        return ARCHITECTURE_SPECS[draft["student.from_scratch.architecture"]].objective
    usual = forms.to_draft(DistillConfig())
    return "masked" if any(draft[path] != usual[path] for path in MASKED_ONLY) else "causal"


def offered(path: str, kind: Objective) -> bool:
    """Whether a leaf means something to models of that kind."""
    return path not in (CAUSAL_ONLY if kind == "masked" else MASKED_ONLY)


def switch_model_type(draft: Draft, before: Objective, entry: ModelEntry) -> None:
    """Make a draft fit a new teacher.

    One of another kind than before brings the settings of that kind, one of the same kind a student that it can have.
    """
    after = of_model(entry)
    if after is None:
        return
    if after != before:
        _change_kind(draft, before, after, entry)
    if draft["student.architecture"] == DISTILBERT and not has_distilbert(entry):
        draft["student.architecture"] = "teacher"


def _change_kind(draft: Draft, before: Objective, after: Objective, entry: ModelEntry) -> None:
    stashed, recipe = draft.setdefault(STASHED_SETTINGS, {}), DISTILBERT if after == "masked" else starting_points.FIRST
    stashed[before] = {key: draft[key] for key in _keys(draft, DEPENDENT)}
    if after in stashed:
        draft |= stashed.pop(after)
    elif after == "masked":
        triple_loss(draft, entry)
    else:
        start = forms.to_draft(starting_points.from_recipe(recipe).config)
        draft |= {key: start[key] for key in _keys(draft, DEPENDENT)}
    draft["student.layers"] = None
    if after == "masked":
        draft["data.block_length"] = min(draft["data.block_length"], _reads(entry))


def _reads(entry: ModelEntry) -> int:
    """Tokens of the longest sequence that a model is used to."""
    return entry.trained_length or entry.context


def has_distilbert(entry: ModelEntry) -> bool:
    """Whether DistilBERT's architecture can be made of a model's blocks, as far as its architecture tells."""
    return entry.architecture in ("bert", DISTILBERT)


def triple_loss(draft: Draft, entry: ModelEntry) -> None:
    """DistilBERT's three terms, their weights and their masking for a student of half the teacher's blocks (1910.01108)."""
    draft |= _triple(entry)
    draft["student.model"] = None
    usual = forms.to_draft(DistillConfig())
    draft |= {path: usual[path] for path in CAUSAL_ONLY}
    if not any(map(has_blank, draft["evaluation.prompts"])):
        draft["evaluation.prompts"] = BLANKS


def is_triple_loss(draft: Draft, entry: ModelEntry) -> bool:
    """Whether a draft says what `triple_loss` writes; a depth of its own is no departure."""
    return all(draft[key] == value for key, value in _triple(entry).items() if key != "student.layers")


def link_to_distil(entry: ModelEntry) -> dict[str, str | list[str]]:
    """Return the address of a form that has this model for its teacher, and a recipe of its kind."""
    changes = [f"teacher.model={entry.name}", "student.layers=null"]
    if of_model(entry) != "masked":
        return {"set": changes}
    recipe = starting_points.from_recipe(DISTILBERT).config
    if not has_distilbert(entry):
        changes.append("student.architecture=teacher")
    if _reads(entry) < recipe.data.block_length:
        changes.append(f"data.block_length={_reads(entry)}")
    return {"recipe": DISTILBERT, "set": changes}


def _triple(entry: ModelEntry) -> Draft:
    recipe = forms.to_draft(starting_points.from_recipe(DISTILBERT).config)
    values = {key: recipe[key] for key in _keys(recipe, TRIPLE)}
    architecture = DISTILBERT if has_distilbert(entry) else "teacher"
    return values | {"student.layers": None, "student.architecture": architecture}


def _keys(draft: Draft, paths: Iterable[str]) -> list[str]:
    """Return the entries of a draft that belong to leaves; a weight has two, and so has a layer map."""
    found = []
    for path in paths:
        found += [path] if path in draft else []
        found += [key for key in (f"{path}.start", f"{path}.end", f"{path}.list") if key in draft]
    return found
