"""Every module has a test file of its name, or a line that says where it is tested.

    core/data/packing.py  ->  tests/core/data/test_packing.py
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Modules without a test file of their name, and the files that test them instead. A file imports the module, or opens it through
# modules of its package: a page that draws it, the command line that calls it.
TESTED_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "workbench/classroom/__init__.py": ("tests/workbench/classroom/test_store.py",),
    "workbench/classroom/ballots.py": ("tests/workbench/classroom/test_board.py",),
    "workbench/classroom/handout.py": ("tests/workbench/classroom/test_board.py",),
    "workbench/classroom/records.py": ("tests/workbench/classroom/test_queue.py",),
    "workbench/screens/classroom/board_view.py": ("tests/pages/test_classroom.py",),
    "workbench/screens/classroom/instructor_view.py": ("tests/pages/test_classroom.py",),
    "workbench/screens/classroom/seat_view.py": ("tests/pages/test_classroom.py",),
    "workbench/screens/classroom/seats.py": ("tests/pages/test_classroom.py",),
    "workbench/lessons/__init__.py": ("tests/workbench/lessons/test_parser.py",),
    "workbench/lessons/blocks.py": ("tests/workbench/lessons/test_parser.py",),
    "workbench/screens/learn/answers.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/figures.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/lesson_view.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/questions.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/reader.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/runs.py": ("tests/pages/test_learn.py",),
    "workbench/screens/learn/steps.py": ("tests/pages/test_learn.py",),
    "workbench/screens/shared/share.py": ("tests/pages/test_sharing.py",),
    "workbench/screens/search_view.py": ("tests/pages/test_learn.py",),
    "core/chains/anchors.py": ("tests/core/methods/test_chain_rehearsal.py",),
    "core/classification/items.py": ("tests/core/classification/test_training.py",),
    "core/classification/predicting.py": ("tests/core/classification/test_training.py",),
    "core/config/addresses.py": ("tests/core/test_config.py",),
    "core/data/text_files.py": ("tests/core/data/test_json_records.py", "tests/core/data/test_tables.py"),
    "core/config/base.py": ("tests/core/test_recipes.py",),
    "core/config/chains.py": ("tests/core/test_recipes.py",),
    "core/config/data.py": ("tests/core/test_recipes.py",),
    "core/config/evaluation.py": ("tests/core/test_recipes.py",),
    "core/classification/augmenting.py": ("tests/core/classification/test_training.py",),
    "core/classification/sources.py": ("tests/core/classification/test_images.py",),
    "core/config/ensembles.py": ("tests/core/methods/test_ensemble.py",),
    "core/config/experiment.py": ("tests/core/test_config.py",),
    "core/config/images.py": ("tests/core/classification/test_images.py",),
    "core/config/kinds.py": ("tests/core/test_config.py",),
    "core/config/fields.py": ("tests/core/test_recipes.py",),
    "core/config/losses.py": ("tests/core/test_recipes.py",),
    "core/config/sentences.py": ("tests/core/test_recipes.py",),
    "core/config/models.py": ("tests/core/test_recipes.py",),
    "core/config/specialists.py": ("tests/core/specialists/test_experiment.py",),
    "core/config/reading.py": ("tests/core/methods/test_reading.py",),
    "core/config/training.py": ("tests/core/test_recipes.py",),
    "core/reading/answer_cache.py": ("tests/core/reading/test_annotation.py",),
    "core/reading/decontamination.py": ("tests/core/reading/test_tasks.py",),
    "core/reading/items.py": ("tests/core/reading/test_scoring.py",),
    "core/reading/notes.py": ("tests/core/reading/test_streams.py",),
    "core/reading/oracle_tasks.py": ("tests/core/reading/test_oracle.py",),
    "core/reading/teachers.py": ("tests/core/signals/test_chat_client.py",),
    "core/reading/requests.py": ("tests/pages/test_reading.py",),
    "core/reading/texts.py": ("tests/core/reading/test_corpus.py",),
    "core/reading/together.py": ("tests/core/methods/test_reading.py",),
    "core/data/template_renderer.py": ("tests/core/data/test_template_limits.py",),
    "core/planning/inputs.py": ("tests/core/planning/test_plan.py",),
    "core/planning/models.py": ("tests/core/planning/test_plan.py",),
    "core/planning/requirements.py": ("tests/core/planning/test_plan.py",),
    "core/planning/task_plan.py": ("tests/core/planning/test_task_dry_run.py", "tests/core/methods/test_fine_tuning.py"),
    "core/evaluation/teacher_help.py": ("tests/core/planning/test_teacher_help.py",),
    "core/planning/teacher_pilot.py": ("tests/core/planning/test_teacher_help.py",),
    "core/planning/teacher_tuning.py": ("tests/core/planning/test_teacher_help.py",),
    "core/export/graph.py": ("tests/core/export/test_exporting.py",),
    "core/methods/distillation_schedule.py": ("tests/core/methods/test_distillation.py",),
    "core/methods/first_measurements.py": ("tests/core/methods/test_distillation.py",),
    "core/methods/__init__.py": ("tests/core/methods/test_distillation.py",),
    "core/methods/evaluator.py": ("tests/core/methods/test_distillation.py",),
    "core/methods/steps.py": ("tests/core/methods/test_distillation.py",),
    "core/methods/variant_training.py": ("tests/core/methods/test_distillation.py",),
    "core/evaluation/served.py": ("tests/core/evaluation/test_language.py",),
    "core/models/weight_digests.py": ("tests/core/models/test_checkpoints.py",),
    "workbench/store/run_folders.py": ("tests/workbench/store/test_store.py",),
    "core/models/small_networks.py": ("tests/core/methods/test_ensemble.py", "tests/core/models/test_text_networks.py"),
    "core/models/image_networks.py": ("tests/core/methods/test_ensemble.py",),
    "core/planning/ensembles.py": ("tests/core/planning/test_plan.py",),
    "core/reports/ensemble_report.py": ("tests/core/methods/test_ensemble.py",),
    "core/models/image_mlp.py": ("tests/core/classification/test_models.py",),
    "core/models/architecture_spec.py": ("tests/core/models/test_architectures.py", "tests/core/test_families.py"),
    "core/models/families/axes.py": ("tests/core/test_families.py",),
    "core/models/families/decoders.py": ("tests/core/test_families.py",),
    "core/models/families/encoders.py": ("tests/core/test_families.py",),
    "core/reports/deployment/forms.py": ("tests/core/reports/deployment/test_measure.py",),
    "core/reports/deployment/record.py": ("tests/core/reports/deployment/test_acceptance.py",),
    "core/reports/deployment/store.py": ("tests/core/reports/deployment/test_measure.py",),
    "core/planning/specialists.py": ("tests/core/methods/test_specialists.py",),
    "core/reports/specialist_items.py": ("tests/core/methods/test_specialists.py",),
    "core/reports/specialists_report.py": ("tests/core/methods/test_specialists.py",),
    "workbench/screens/specialists/figures.py": ("tests/pages/test_specialists.py",),
    "workbench/screens/specialists/opinions_view.py": ("tests/pages/test_specialists.py",),
    "workbench/screens/specialists/specialists_view.py": ("tests/pages/test_specialists.py",),
    "workbench/screens/specialists/start_form.py": ("tests/pages/test_specialists.py",),
    "core/specialists/helping.py": ("tests/core/specialists/test_sharing.py",),
    "core/specialists/measuring.py": ("tests/core/specialists/test_experiment.py",),
    "core/specialists/networks.py": ("tests/core/specialists/test_experiment.py",),
    "core/specialists/opinions.py": ("tests/core/methods/test_specialists.py",),
    "core/specialists/panel.py": ("tests/core/specialists/test_experiment.py",),
    "core/signals/source.py": ("tests/core/signals/test_cached.py",),
    "core/signals/targets.py": ("tests/core/signals/test_forms.py",),
    "core/studies/claims/chain_protocol.py": ("tests/core/studies/claims/test_chain.py",),
    "core/studies/claims/chain_protocols.py": ("tests/core/studies/claims/test_chain.py",),
    "core/studies/claims/distilbert_protocols.py": ("tests/core/studies/claims/test_distilbert.py",),
    "core/studies/claims/hinton_protocols.py": ("tests/core/studies/claims/test_hinton.py",),
    "core/studies/claims/patching_encoder.py": ("tests/core/studies/claims/test_patching.py",),
    "core/studies/claims/patching_protocol.py": ("tests/core/studies/claims/test_patching.py",),
    "core/studies/claims/patching_protocols.py": ("tests/core/studies/claims/test_patching.py",),
    "core/studies/claims/small_chain.py": ("tests/core/studies/claims/test_chain.py",),
    "core/studies/claims/small_patching.py": ("tests/core/studies/claims/test_patching.py",),
    "core/studies/claims/trained_models.py": ("tests/core/studies/claims/test_chain.py",),
    "workbench/app.py": ("tests/workbench/test_serve.py",),
    "workbench/inference/dataset_scan.py": ("tests/workbench/inference/test_client.py",),
    "workbench/inference/wire.py": ("tests/workbench/inference/test_client.py",),
    "workbench/runs/recording.py": ("tests/workbench/runs/test_worker.py",),
    "workbench/screens/signals_view.py": ("tests/pages/test_signals.py",),
    "core/methods/kept_logits.py": ("tests/core/reports/test_class_scores.py",),
    "workbench/screens/run/class_results.py": ("tests/pages/test_run.py",),
    "workbench/screens/run/outcome.py": ("tests/pages/test_run.py",),
    "workbench/screens/shared/class_scores_view.py": ("tests/pages/test_run.py",),
    "core/tasks/preview.py": ("tests/core/planning/test_task_dry_run.py",),
    "core/reports/specialists_card.py": ("tests/core/methods/test_specialists.py",),
    "core/methods/room.py": ("tests/core/methods/test_rehearsal.py",),
    "core/signals/manifest.py": ("tests/core/signals/test_cache.py",),
    "workbench/screens/ensemble_view.py": ("tests/pages/test_ensemble.py",),
    "workbench/screens/run/ensemble_results.py": ("tests/pages/test_ensemble.py",),
    "workbench/screens/temperature/figure.py": ("tests/pages/test_temperature.py",),
    "workbench/screens/temperature/temperature_view.py": ("tests/pages/test_temperature.py",),
    "workbench/screens/ablation_view.py": ("tests/pages/test_ablation.py",),
    "workbench/screens/chain/chain_view.py": ("tests/pages/test_chain.py",),
    "workbench/screens/chain/figures.py": ("tests/workbench/screens/chain/test_curve_analysis.py",),
    "workbench/screens/chain/created_view.py": ("tests/pages/test_chain.py",),
    "workbench/screens/chain/pictures.py": ("tests/workbench/screens/chain/test_curve_analysis.py",),
    "workbench/screens/chain/recovery_view.py": ("tests/pages/test_chain.py",),
    "workbench/screens/chain/size_view.py": ("tests/pages/test_chain.py",),
    "workbench/screens/claims_table.py": ("tests/pages/test_claims.py",),
    "workbench/screens/claims_view.py": ("tests/pages/test_claims.py",),
    "workbench/screens/compare/asking.py": ("tests/pages/test_compare.py", "tests/pages/test_compare_encoders.py"),
    "workbench/screens/compare/blank_pane.py": ("tests/pages/test_compare_encoders.py",),
    "workbench/screens/compare/chat_pane.py": ("tests/pages/test_compare.py",),
    "workbench/screens/compare/class_pane.py": ("tests/pages/test_compare_encoders.py",),
    "workbench/screens/compare/compare_view.py": ("tests/pages/test_compare.py", "tests/pages/test_compare_encoders.py"),
    "workbench/screens/compare/picking.py": ("tests/pages/test_compare.py", "tests/pages/test_compare_encoders.py"),
    "workbench/screens/device/device_view.py": ("tests/pages/test_device.py",),
    "workbench/screens/reading/form.py": ("tests/pages/test_reading.py",),
    "workbench/screens/reading/live_reading.py": ("tests/pages/test_reading.py",),
    "workbench/screens/reading/notes_view.py": ("tests/pages/test_reading.py",),
    "workbench/screens/reading/together_view.py": ("tests/pages/test_reading.py",),
    "workbench/screens/reading/training_view.py": ("tests/pages/test_reading.py",),
    "workbench/screens/deploy/form.py": ("tests/pages/test_deploy.py",),
    "workbench/screens/deploy/result_view.py": ("tests/pages/test_deploy.py",),
    "workbench/screens/home_view.py": ("tests/pages/test_home.py",),
    "workbench/screens/models/models_view.py": ("tests/pages/test_models.py",),
    "workbench/screens/models/quality.py": ("tests/pages/test_models.py",),
    "workbench/screens/new_experiment/advanced_form.py": ("tests/workbench/screens/new_experiment/test_forms.py",),
    "workbench/screens/new_experiment/bridge_view.py": ("tests/pages/test_new_bridge.py",),
    "workbench/screens/new_experiment/chosen_model.py": ("tests/pages/test_new.py", "tests/pages/test_new_bridge.py"),
    "workbench/screens/new_experiment/controls.py": ("tests/workbench/screens/new_experiment/test_forms.py",),
    "workbench/screens/new_experiment/error_focus.py": ("tests/pages/test_new.py",),
    "workbench/screens/new_experiment/experiment_form.py": ("tests/pages/test_new.py",),
    "workbench/screens/new_experiment/reading_form.py": ("tests/pages/test_new_reading.py",),
    "workbench/screens/new_experiment/submission.py": ("tests/pages/test_new.py",),
    "workbench/screens/new_experiment/plan_view.py": ("tests/pages/test_new.py",),
    "workbench/screens/recipes/recipes_view.py": ("tests/pages/test_recipes.py",),
    "workbench/screens/run/moment.py": ("tests/workbench/screens/run/test_feed.py",),
    "workbench/screens/run/run_view.py": ("tests/pages/test_run.py",),
    "workbench/screens/runs_view.py": ("tests/pages/test_runs.py",),
    "workbench/screens/shared/fetch_button.py": ("tests/pages/test_device.py", "tests/pages/test_models.py"),
    "workbench/screens/shared/live.py": ("tests/workbench/screens/run/test_feed.py",),
    "workbench/screens/shared/panes.py": ("tests/pages/test_runs.py",),
    "workbench/screens/shared/take_home.py": ("tests/pages/test_device.py", "tests/workbench/downloads/test_mount.py"),
    "workbench/screens/tune_view.py": ("tests/pages/test_tune.py",),
    "workbench/store/exports.py": ("tests/workbench/downloads/test_mount.py",),
    "workbench/store/records.py": ("tests/workbench/store/test_store.py",),
    "workbench/store/reproduce.py": ("tests/workbench/store/test_bundles.py",),
    "workbench/studies/background.py": ("tests/workbench/studies/test_ablations.py", "tests/workbench/studies/test_claims.py"),
    "workbench/studies/jobs.py": ("tests/workbench/studies/test_ablations.py", "tests/workbench/studies/test_claims.py"),
    "workbench/studies/worker.py": ("tests/workbench/studies/test_ablations.py",),
    "workbench/runs/sweep_estimate.py": ("tests/workbench/runs/test_sweeps.py",),
    "workbench/screens/run/repetitions.py": ("tests/pages/test_sweep.py",),
    "workbench/screens/shared/tracker_buttons.py": ("tests/pages/test_tracker_buttons.py",),
    "workbench/screens/shared/sweep_line.py": ("tests/pages/test_sweep.py",),
    "workbench/screens/sweep/figures.py": ("tests/pages/test_sweep.py",),
    "workbench/screens/sweep/form.py": ("tests/pages/test_sweep.py",),
    "workbench/screens/sweep/list_view.py": ("tests/pages/test_sweep.py",),
    "workbench/screens/sweep/sweep_view.py": ("tests/pages/test_sweep.py",),
    "workbench/store/names.py": ("tests/workbench/store/test_store.py",),
    "workbench/terminal/sweep_output.py": ("tests/workbench/terminal/test_sweeps.py",),
    "workbench/terminal/reference.py": ("tests/test_reference.py",),
    "core/system/threads.py": ("tests/core/evaluation/test_speed.py",),
    "core/methods/orders.py": ("tests/core/methods/test_following.py",),
    "core/methods/shardable.py": ("tests/core/training/test_sharding.py",),
    "core/training/sharded_checkpoints.py": ("tests/core/training/test_sharding.py",),
    "core/training/sharding_trainer.py": ("tests/core/training/test_base_trainer.py",),
    "core/system/ranks.py": ("tests/core/methods/test_following.py",),
    "workbench/launch/__init__.py": ("tests/workbench/launch/test_local.py",),
    "workbench/launch/agent.py": ("tests/workbench/launch/test_local.py",),
    "workbench/launch/family.py": ("tests/workbench/launch/test_local.py",),
    "workbench/launch/job.py": ("tests/workbench/launch/test_slurm.py",),
    "workbench/launch/settings.py": ("tests/workbench/launch/test_slurm.py",),
    "workbench/launch/launcher.py": ("tests/workbench/launch/test_slurm.py",),
    "core/config/traits.py": ("tests/core/test_config.py",),
    "core/models/entries.py": ("tests/core/models/test_catalog.py",),
    "workbench/launch/rank.py": ("tests/workbench/launch/test_local.py",),
    "core/training/throughput.py": ("tests/core/training/test_base_trainer.py",),
    "workbench/screens/shared/launch_view.py": ("tests/pages/test_new.py",),
    "workbench/screens/run/processes_view.py": ("tests/pages/test_run.py",),
    "workbench/web/proxies.py": ("tests/workbench/web/test_origins.py",),
}


def has_code(path: Path) -> bool:
    """Return whether a file defines a function or a class, and not only names."""
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in parsed(path).body)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def file_of(module: str) -> Path:
    """Return where the tests of a module stand; those of a package in the file of the package's name, inside it."""
    path = Path(module)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return ROOT / "tests" / path.parent / f"test_{name}.py"


MODULES = {path.relative_to(ROOT).as_posix(): path for folder in ("core", "workbench") for path in sorted((ROOT / folder).rglob("*.py"))}
NAMES = {module.removesuffix(".py").removesuffix("/__init__").replace("/", "."): module for module in MODULES}


@cache
def to_test() -> tuple[str, ...]:
    """Return the modules that need a test: read when a test runs, not in every process that collects them."""
    return tuple(module for module, path in MODULES.items() if has_code(path))


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the modules of the project that a file imports; a test also those of the pages that it opens."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # as monkeypatch and subprocesses name a module
            names |= {node.value.rpartition(".")[0]}
    found = {NAMES[name] for name in names if name in NAMES}
    if path.name.startswith("test_"):
        opened = {path.stem.removeprefix("test_"), *re.findall(r"open_page\(\"(\w+)\"", path.read_text(encoding="utf-8"))}
        for page in (ROOT / "pages" / f"{name}.py" for name in opened if path.parent.name == "pages"):
            found |= imported(page) if page.is_file() else frozenset()
    return frozenset(found)


def package_of(module: str) -> list[str]:
    return module.split("/")[:-1][:2]


def reaches(test: Path, module: str) -> bool:
    """Return whether a test imports a module, itself or through other modules of its package, as a page does and the command line."""
    package = package_of(module)
    ahead, seen = list(imported(test)), set()
    while ahead:
        each = ahead.pop()
        if each == module:
            return True
        if each not in seen and package_of(each) == package:
            ahead.extend(imported(MODULES[each]))
        seen.add(each)
    return False


def test_modules_have_a_test_file_of_their_name_or_a_line() -> None:
    wrong = [file_of(module).relative_to(ROOT).as_posix() for module in to_test()
             if file_of(module).is_file() == (module in TESTED_ELSEWHERE)]
    assert not wrong, "these files, or lines, and not both"


def test_lines_name_files_that_test_the_module() -> None:
    assert not TESTED_ELSEWHERE.keys() - MODULES.keys()
    wrong = [(module, file) for module, files in TESTED_ELSEWHERE.items() for file in files if not reaches(ROOT / file, module)]
    assert not wrong


def test_files_of_a_modules_name_test_it() -> None:
    own = {module: file_of(module) for module in to_test() if module not in TESTED_ELSEWHERE and file_of(module).is_file()}
    assert not [module for module, file in own.items() if not reaches(file, module)]
