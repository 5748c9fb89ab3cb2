"""Several models of one task and vocabulary as one: the mean of their distributions (1503.02531, section 2).

    arithmetic(house-chat, my-run)            mean of probabilities, equal weights
    geometric(0.7 house-chat, 0.3 my-run)     mean of log-probabilities, renormalised

Such a reference stands wherever a model's stands: it is evaluated, chatted with and distilled. The members are in memory together and
answer one after the other, so that activations and logits are those of one.

Shapes: B blocks, T positions, N chosen positions, D_m width of member m, V outcomes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from core.config.ensembles import MixtureMean
from core.errors import CompatibilityError, ConfigError, ModelNotFoundError, SetField
from core.models.checkpoints import TASK_DESCRIPTIONS, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ONE_MEMBER = "The ensemble has one member: its mean is that member, and this is a plain distillation."
PATTERN = re.compile(r"(arithmetic|geometric)\((.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class EnsembleReference:
    """A reference to an ensemble.

    Attributes:
        members: references of the members.
        weights: of the members, together 1.
    """

    mean: MixtureMean
    members: tuple[str, ...]
    weights: tuple[float, ...]

    def with_members(self, members: Sequence[str]) -> str:
        """Return the reference with other names for the same members."""
        equal = len(set(self.weights)) == 1
        parts = (name if equal else f"{weight:.12g} {name}" for name, weight in zip(members, self.weights, strict=True))
        return f"{self.mean}({', '.join(parts)})"


def parse_ensemble(reference: str) -> EnsembleReference | None:
    """Return what a reference to an ensemble says; None for any other reference.

    Raises:
        ModelNotFoundError: no members, weights for some of them alone, or an ensemble as a member.
    """
    found = PATTERN.fullmatch(reference.strip())
    if found is None:
        return None
    parts = [part.strip() for part in found[2].split(",")]
    named = [re.fullmatch(r"(?:(\d+(?:\.\d+)?(?:e-?\d+)?)\s+)?(\S.*)", part) for part in parts]
    given = [each[1] for each in named if each is not None and each[1] is not None]
    if not all(named) or (given and len(given) < len(parts)) or (given and not sum(map(float, given))):
        raise ModelNotFoundError(f"'{reference}' names no ensemble.",
                                 "Members were expected, all with a weight or all without: arithmetic(house-chat, my-run).",
                                 "Name each member, separated by commas.")
    members = tuple(each[2] for each in named if each is not None)
    if any("(" in member for member in members):
        raise ModelNotFoundError(f"'{reference}' has an ensemble as a member.", "Single models were expected.", "Name their members.")
    weights = [float(each) for each in given] or [1.0] * len(members)
    return EnsembleReference(cast(MixtureMean, found[1]), members, tuple(weight / sum(weights) for weight in weights))


def require_ensemble(reference: str, field: str) -> EnsembleReference:
    """Return what a teacher's reference to an ensemble says. Raises ConfigError for a single model, about the optional key `field`."""
    found = parse_ensemble(reference)
    if found is None:
        raise ConfigError(f"{field} was given, and the teacher '{reference}' is a single model.",
                          "An ensemble was expected, as arithmetic(house-chat, my-run).", f"Name an ensemble, or remove {field}.",
                          field=field, suggestion=SetField(field, None))
    return found


def split_references(text: str) -> list[str]:
    """Return the references of a list with commas between them, each once; those inside an ensemble's parentheses do not count."""
    parts = (part.strip() for part in re.split(r",(?![^()]*\))", text))
    return list(dict.fromkeys(part for part in parts if part))


def require_one_kind(names: Sequence[str], tasks: Sequence[Task], vocabularies: Sequence[int]) -> None:
    """Check that members can be averaged, as far as their headers tell. Raises CompatibilityError that says which differ."""
    for name, task, vocabulary in zip(names, tasks, vocabularies, strict=True):
        if task not in ("causal", "masked", "classification"):
            raise CompatibilityError(f"'{name}' {TASK_DESCRIPTIONS[task]}.",
                                     "Members that read texts and do the same were expected: language models, or classifiers of texts.",
                                     "Classifiers of images are averaged by a recipe with a section 'ensemble'.")
        if task != tasks[0]:
            raise CompatibilityError(f"'{name}' is a {task} model, '{names[0]}' a {tasks[0]} one.",
                                     "Members of one kind were expected: language models, or classifiers of texts.",
                                     "Classifiers of images are averaged by a recipe with a section 'ensemble'.")
        if vocabulary != vocabularies[0]:
            raise CompatibilityError(f"'{name}' knows {vocabulary:,} tokens, '{names[0]}' {vocabularies[0]:,}.",
                                     "Members must share a vocabulary.", "Choose members of one tokenizer.")


def require_same_tokens(first: str, tokens: Mapping[str, int], other: str, others: Mapping[str, int]) -> None:
    """Check that two members give all tokens the same numbers. Raises CompatibilityError that says how many differ, and one of them."""
    different = sorted(token for token in {*tokens, *others} if tokens.get(token) != others.get(token))
    if different:
        raise CompatibilityError(f"The tokenizers of '{first}' and '{other}' differ in {len(different):,} tokens, as {different[0]!r}.",
                                 "Members must share a vocabulary.", "Choose members of one tokenizer.")


def ensemble_model(members: Sequence[PreTrainedModel], reference: EnsembleReference) -> PreTrainedModel:
    """Return the members as one model in evaluation mode, which answers with the logarithm of the mean at T = 1."""
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from core.models.architectures import architecture_of
    from core.models.mixtures import mixed_logits

    class EnsembleModel(PreTrainedModel):
        """The members, whose states stand beside each other; its heads are those of `core.models.forward.MixtureHead`."""

        _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

        def __init__(self) -> None:
            super().__init__(copy.deepcopy(members[0].config))
            self.members = nn.ModuleList(members)
            self.reference = reference
            if members[0].can_generate():
                self.generation_config = members[0].generation_config

        @property
        def base_model(self) -> Any:
            return self._joined

        def _joined(self, **inputs: Any) -> SimpleNamespace:
            """Return ``last_hidden_state`` (B, T, sum of D_m)."""
            states = [member.base_model(**inputs).last_hidden_state for member in members]
            return SimpleNamespace(last_hidden_state=torch.cat(states, -1))

        def get_input_embeddings(self) -> nn.Module:
            return members[0].get_input_embeddings()

        def get_submodule(self, target: str) -> nn.Module:
            """Return a part of the first member where the ensemble has none of that name: all members have such a head."""
            try:
                return super().get_submodule(target)
            except AttributeError:
                return members[0].get_submodule(target)

        def forward(self, *args: Any, past_key_values: Any = None, **inputs: Any) -> Any:
            """Return what a member does, with the mean's log-probabilities as ``logits``; a cache holds one of each member."""
            caches = past_key_values or (None,) * len(members)
            outputs: list[Any] = [member.forward(*args, **inputs, **({"past_key_values": cache} if keeps_cache else {}))
                                  for member, cache in zip(members, caches, strict=True)]
            result = outputs[0]
            width = min(output.logits.shape[-1] for output in outputs)
            flat = (output.logits[..., :width].flatten(0, -2) for output in outputs)
            mixed = mixed_logits(flat, reference.weights, reference.mean, 1.0)
            result.logits = mixed.view(*result.logits.shape[:-1], width)
            if getattr(result, "past_key_values", None) is not None:
                result["past_key_values"] = tuple(output.past_key_values for output in outputs)
            return result

    keeps_cache = architecture_of(members[0].config).objective == "causal"
    return EnsembleModel().eval()


def members_of(model: Any) -> list[Any]:
    """Return the members of an ensemble; empty for any other model."""
    reference = getattr(model, "reference", None)
    return list(model.members) if isinstance(reference, EnsembleReference) else []
