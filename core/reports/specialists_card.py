"""Documents beside the student of a generalist with specialists: a model card, the recipe, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from core.config import SpecialistsConfig
from core.events import STUDENT, STUDENT_AFTER, SUBJECTS, TEACHER
from core.reports.model_card import record
from core.reports.run_report import RunReport, TaskSummary

LOADING = """```python
from transformers import AutoTokenizer
import core.models.word_average  # of Stillhouse: registers the architecture
from transformers import AutoModelForSequenceClassification

model, tokenizer = AutoModelForSequenceClassification.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```"""
TRANSFORMERS = LOADING.replace("import core.models.word_average  # of Stillhouse: registers the architecture\n", "")
IMAGES = "A multilayer perceptron: `config.json` names the hidden layers, `model.safetensors` holds their weights; pixels are from 0 to 1."


def write_student_documents(folder: Path, config: SpecialistsConfig, report: RunReport, variant: str) -> None:
    """Write the three documents into the folder of the student, or of the control (the same network on hard labels)."""
    (folder / "README.md").write_text(student_card(config, report, variant), encoding="utf-8")
    (folder / "recipe.yaml").write_text(config.to_yaml(), encoding="utf-8")
    (folder / "stillhouse.json").write_text(json.dumps(record(config, report, variant=variant), indent=2) + "\n", encoding="utf-8")


def student_card(config: SpecialistsConfig, report: RunReport, variant: str) -> str:
    """Return the text of the model card, front matter included."""
    data, texts = report.data, report.data is not None and getattr(report.data, "kind", "") == "classification"
    assert isinstance(data, TaskSummary), "specialists are trained on labelled items"
    name = report.student.name if variant == STUDENT else f"{report.student.name}-{variant}"
    accuracy = report.of(SUBJECTS[variant, "after"])["accuracy"]
    tags = ["stillhouse", *(["distillation"] if variant == STUDENT else ["control"])]
    header = yaml.safe_dump({
        "library_name": "transformers", "pipeline_tag": "text-classification" if texts else "image-classification", "tags": tags,
        "model-index": [{"name": name, "results": [{"task": {"type": "text-classification" if texts else "image-classification"},
                                                    "dataset": {"type": data.task, "name": data.task},
                                                    "metrics": [{"type": "accuracy", "name": "accuracy", "value": accuracy}]}]}],
    }, sort_keys=False, allow_unicode=True)
    seeds, spec = config.specialists.seeds, config.specialists
    of_encoder = spec.model is not None and spec.student_embedding is None and spec.student_hidden is None
    origin = (f"distilled at T = {config.losses.temperature:g} from a generalist with specialists for the classes that it confuses "
              "(arXiv 1503.02531, section 5)" if variant == STUDENT else
              "trained on hard labels alone, as the control of a distillation")
    rows = "\n".join(f"| {who} | {values['accuracy']:.4f} |" for who, subject in (
        ("generalist with specialists", TEACHER), ("student of both", STUDENT_AFTER), ("same network on hard labels", "control"))
        if (values := report.metrics.get(subject)))
    return "\n\n".join([
        f"---\n{header}---\n\n# {name}",
        f"A classifier ({', '.join(data.labels[:10])}{' and more' if len(data.labels) > 10 else ''}) of {report.student.parameters:,} "
        f"parameters, {origin}, with Stillhouse on {Path(data.task).name}.{' ' + config.description if config.description else ''}",
        "## Measured on held-out items", f"| | accuracy |\n| --- | ---: |\n{rows}",
        f"{data.items:,} items that nothing was trained or chosen on"
        + (f"; means over {seeds} repetitions, of which this network is the first." if seeds > 1 else "."),
        "## Use", (TRANSFORMERS if of_encoder else LOADING) if texts else IMAGES,
        "## Repeat", f"```\n{report.command or 'python -m workbench distill recipe.yaml'}\n```"]) + "\n"
