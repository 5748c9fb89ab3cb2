"""The papers of the methods that a model was made with, for its card; docs/references.md says of each method who published it first."""

from __future__ import annotations

from core.config import BridgeConfig, ChainConfig, EnsembleConfig, ExperimentConfig, ReadingConfig
from core.events import STUDENT
from core.loss_terms import BY_NAME, LOSS_TERMS


def cited(config: ExperimentConfig, variant: str) -> dict[str, str]:
    """Return the papers of the methods that a model was made with: arXiv identifier -> what is theirs."""
    losses, student = config.losses, config.student
    papers: dict[str, str] = {}
    from_teacher = variant == STUDENT and (config.teacher is not None or isinstance(config, EnsembleConfig))
    for term in LOSS_TERMS:
        if not losses.uses(term.name) or (term.needs_teacher and not from_teacher):
            continue
        papers |= term.papers
        if term.name == "kd":
            papers |= {"reverse_kl": {"2306.08543": "reverse KL (MiniLLM)"}, "jsd": {"2306.13649": "generalised Jensen-Shannon (GKD)"},
                       "forward_kl": {}}[losses.divergence]
        if term.name == "hidden_mse" and losses.hidden_layers == "ends":
            papers["2510.05064"] = "layers aligned with spans of the teacher's layers (Boomerang distillation)"
    if student.architecture == "distilbert":
        papers |= BY_NAME["hidden"].papers
    if config.teacher is not None and student.init == "teacher" and student.model is None and student.from_scratch is None:
        papers.setdefault("1910.01108", "a student that starts from its teacher's layers (DistilBERT)")
        if student.layer_map == "importance":
            papers["2402.02834"] = "layers chosen by the loss without them (Shortened LLaMA)"
        if student.hidden or student.intermediate_size:
            papers["2407.14679"] = "width pruning by importance before distillation (Minitron)"
    if student.lora is not None:
        papers["2106.09685"] = "low-rank adapters (LoRA)"
    if isinstance(config, BridgeConfig):
        papers["1606.07947"] = "sequence-level distillation (SeqKD)"
    if isinstance(config, ReadingConfig) and config.reading.notes != "none":
        papers["2507.19741"] = "notes of a reading teacher (Basic Reading Distillation)"
    if isinstance(config, ChainConfig):
        papers["2605.07783"] = "a chain of anchors (Chain-based Distillation)"
    return papers


def methods_section(config: ExperimentConfig, variant: str) -> str:
    """Return the papers as a list, or that there is none to name."""
    return "\n".join(f"- [arXiv {identifier}](https://arxiv.org/abs/{identifier}): {what}"
                     for identifier, what in cited(config, variant).items()) or "Training on text, or on labels, alone."
