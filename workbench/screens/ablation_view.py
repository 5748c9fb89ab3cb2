"""Ablations: a form that starts one, the running one, and what each part was worth, with intervals over paired seeds."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path

import pandas as pd
import streamlit as st

from core.config import ExperimentConfig
from core.errors import ConfigError, StillhouseError
from core.metrics import METRICS
from core.recipes import parse_recipe, read_recipe
from core.studies.ablation import results
from core.studies.ablation.results import FULL, PAPER, PLACE, PUBLISHED, WORDS, Ablation
from core.studies.ablation.variants import variants
from core.studies.seeds import DEFAULT_SEEDS, SEEDS_HELP
from core.system.paths import PROJECT
from core.system.units import duration
from workbench.screens.shared import background as questions
from workbench.screens.shared import charts, fragments, state, views
from workbench.screens.shared.downloads import download
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import TEAL, BadgeColour
from workbench.store import references
from workbench.studies import background
from workbench.studies.jobs import AblationJob, JobState

POLL_SECONDS = 1.5
FIRST = "distilbert"  # the recipe whose parts the paper took away
UNLISTED = ("smoke",)  # for trying a change of the code
RECIPES = Path("assets", "recipes")  # relative to the project's folder, as commands name them
DIFFERENCE = "difference"
MEASURING = "ablation.measured"  # in the session state: the configuration whose time was requested
LOOKS: dict[str, tuple[BadgeColour, str]] = {
    "running": ("primary", "play_circle"), "finished": ("green", "check_circle"), "stopped": ("gray", "stop_circle"),
    "failed": ("red", "error"), "lost": ("orange", "link_off")}


def show() -> None:
    """Show the form, then every ablation of this installation, the latest first."""
    busy = background.running_job()
    _form(busy)
    folders = results.folders()
    if not folders:
        views.empty_state("No ablation yet. Choose a recipe above and start it: it runs in the background, and the page may be closed "
                          "meanwhile.", "science")
    for folder in folders:
        _card(folder, busy)


@functools.cache
def recipes() -> dict[str, ExperimentConfig]:
    """Return the project's recipes with parts that can be left out, by name; the paper's own first."""
    found = {}
    for path in sorted((PROJECT / RECIPES).glob("*.yaml")):
        config = read_recipe(path)
        if path.stem in UNLISTED:
            continue
        try:
            variants(config)
        except ConfigError:
            continue
        found[path.stem] = config
    return {name: found[name] for name in sorted(found, key=lambda name: (name != FIRST, name))}


def _form(busy: str | None) -> None:
    known = recipes()
    linked = st.query_params.get("recipe")
    with st.container(border=True, key="ablation form"):
        left, middle, right = st.columns([2, 1, 1], gap="medium", vertical_alignment="bottom")
        name = left.selectbox("Recipe", list(known), index=list(known).index(linked) if linked in known else 0, key="recipe",
                              help="One student, a teacher, and parts that can be left out.")
        usual = known[name].train.max_steps
        steps = middle.number_input("Steps of each training", value=usual, step=50, key=f"steps.{name}",
                                    placeholder="as in the recipe", help="In recipes: `train.max_steps`")
        seeds = right.number_input("Seeds", value=DEFAULT_SEEDS, key="seeds", help=f"{SEEDS_HELP[0].upper()}{SEEDS_HELP[1:]}.")
        if (steps is not None and steps < 1) or seeds < 1:  # without bounds in the widgets, which keep what lies outside them to themselves
            st.error("Steps and seeds must be 1 or more.", icon=":material/error:")
            return
        config = with_steps(known[name], name, steps)
        made = variants(config)
        left_out = ", ".join(WORDS[each] for each in made if each != FULL)
        st.caption(f"{len(made)} variants × {seeds} seed{'s' if seeds > 1 else ''} = {len(made) * seeds} trainings with "
                   f"{views.plain(_teacher(config))} as the teacher: {WORDS[FULL]}, {left_out}.")
        line = command(name, None if steps == usual else steps, seeds)
        with views.errors_shown():
            _time(made[FULL], len(made) * seeds)
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="start", disabled=busy is not None,
                     help=f"{busy}, one at a time." if busy else None):
            with views.errors_shown():
                frozen, _ = references.freeze_references(config, state.store())
                background.start_ablation(references.resolved(frozen, state.store()), seeds, line)
                st.rerun()
        st.code(line, language="bash", wrap_lines=True)


def _time(config: ExperimentConfig, trainings: int) -> None:
    """Draw how long all trainings take, from a few real steps of one; they are taken on request."""
    question = json.dumps(references.resolved(config.model_copy(update={"name": None, "description": ""}), state.store()).to_dict())
    if st.session_state.get(MEASURING) != question:
        if st.button("Measure the time", icon=":material/timer:", key="measure", help=(
                "Loads the models, packs the data and takes a few training steps, which are discarded.")):
            st.session_state[MEASURING] = question
            st.rerun()
        return
    try:
        found = questions.answer(questions.measured_plan, question, meanwhile="Loading the models and training a few steps …")
    except StillhouseError:
        del st.session_state[MEASURING]  # the next click measures again
        raise
    if found is None:
        return
    if found.get("seconds"):
        st.markdown(f":material/timer: About **{duration(trainings * found['seconds'])}** on this machine: {trainings} trainings of about "
                    f"{duration(found['seconds'])}, projected from {found['measured_steps']} steps. Trainings that are kept take no time.")
        return
    for check in found["checks"]:
        if not check["ok"]:
            st.error(f"**{check['name'].capitalize()}.** {views.plain(check['message'] + ' ' + check['fix'])}", icon=":material/error:")


def _teacher(config: ExperimentConfig) -> str:
    assert config.teacher is not None  # `variants` refuses a recipe without one
    return config.teacher.model


def with_steps(config: ExperimentConfig, name: str, steps: int | None) -> ExperimentConfig:
    """Return the recipe under its file's name, with so many steps a training."""
    plain = config.to_dict()
    return parse_recipe({**plain, "name": config.name or name, "train": {**plain["train"], "max_steps": steps}})


def command(name: str, steps: int | None, seeds: int) -> str:
    """Return the command that does the same in a terminal."""
    override = [] if steps is None else ["--set", f"train.max_steps={steps}"]
    return shlex.join(["python", "-m", "workbench", "ablate", (RECIPES / f"{name}.yaml").as_posix(), *override, "--seeds", str(seeds)])


# ------------------------------------------------------------------------------------------------ one ablation


def _card(folder: Path, busy: str | None) -> None:
    task, result, job = results.load_request(folder), results.result_of(folder), AblationJob(folder)
    if task is None:
        return  # another release began it
    config, seeds = task
    latest = job.load_state()
    with st.container(border=True, key=f"ablation-{folder.name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{views.plain(results.name_of(config))}**", width="content")
            status = latest.state if latest is not None else "finished" if _whole(result, seeds) else "stopped"
            colour, icon = LOOKS[status]
            st.badge(status, color=colour, icon=f":material/{icon}:")
            st.space("stretch")
            if status == "running":
                _stop_button(job)
            elif not _whole(result, seeds):
                _resume_button(folder, config, len(seeds), busy)
        st.caption(views.plain(_summary(config, len(seeds), result)))
        _state(job, latest)
        if result is not None:
            _result(folder, result)
        if line := results.command_of(folder):
            st.code(line, language="bash", wrap_lines=True)


def _summary(config: ExperimentConfig, seeds: int, result: Ablation | None) -> str:
    epochs = config.train.num_train_epochs
    steps = f"{config.train.max_steps:,} steps each" if config.train.max_steps else f"{epochs:g} epoch{'s' if epochs != 1 else ''} each"
    parts = [f"teacher {Path(_teacher(config)).name}", steps, f"{seeds} seed{'s' if seeds > 1 else ''}"]
    if result is not None:
        known = "" if len(result.seeds) == seeds else f", {len(result.seeds)} of {seeds} seeds so far"
        parts.append(f"{result.date[:10]}, {duration(result.seconds)} of training{known}")
    return "  ·  ".join(parts)


def _whole(result: Ablation | None, seeds: tuple[int, ...]) -> bool:
    return result is not None and result.seeds == seeds


def _stop_button(job: AblationJob) -> None:
    if st.button("Stop", icon=":material/stop:", key=f"stop.{job.folder.name}", disabled=job.stop_file.exists(),
                 help="Stops after the current step. Finished trainings are kept."):
        job.stop_file.touch()
        st.rerun()


def _resume_button(folder: Path, config: ExperimentConfig, seeds: int, busy: str | None) -> None:
    if st.button("Resume", icon=":material/play_arrow:", key=f"on.{folder.name}", disabled=busy is not None,
                 help=f"{busy}, one at a time." if busy else "Resumes after the finished trainings."):
        with views.errors_shown():
            background.start_ablation(config, seeds)
            st.rerun()


def _state(job: AblationJob, latest: JobState | None) -> None:
    if latest is None or latest.state == "finished":
        return
    if latest.state == "running":
        fragments.fragment(_progress, run_every=POLL_SECONDS)(job, latest.done)
        return
    views.study_ended(job, latest)


def _progress(job: AblationJob, done: int) -> None:
    latest = job.load_state()
    if latest is None or latest.state != "running" or latest.done != done:
        st.rerun()  # redraws the whole card, with the results so far
        return
    stopping = "stopping · " if job.stop_file.exists() else ""
    st.progress(latest.done / (latest.total or 1),
                text=f"{stopping}{latest.done} of {latest.total or '?'} trainings done · {views.plain(latest.text)}")


def _result(folder: Path, result: Ablation) -> None:
    metric = result.metrics[0]
    if len(result.metrics) > 1:
        metric = st.segmented_control("Measured by", result.metrics, default=metric, required=True, key=f"metric.{folder.name}",
                                      format_func=lambda name: METRICS[f"eval/{name}"].label, label_visibility="collapsed")
    about = METRICS[f"eval/{metric}"]
    unit = f" ({about.unit})" if about.unit else ""
    live_plotly(charts.intervals(difference_points(result, metric), x_title=f"change{unit}", colours={DIFFERENCE: TEAL}, reference=0.0),
                key=f"differences.{folder.name}.{metric}", label=f"Change of the {about.label} when a part is left out")
    which = "to the right is worse" if about.better == "lower" else "to the left is worse"
    kind = result.difference(result.parts[0], metric).interval_words
    spread = f"; lines and ± {kind}" if kind else ", one seed, no interval"
    st.caption(f"Each variant minus the whole recipe, mean of paired seeds{spread}; {which}.")
    head, rows = results.table(result)
    views.text_table(head, rows, numbers=True, label=f"Ablation of {result.name}", first_width="12rem")
    st.markdown("\n".join(f"- {views.plain(each)}" for each in results.verdicts(result)))
    st.caption(f"Published: change of the GLUE macro score in points, [arXiv {PAPER}](https://arxiv.org/abs/{PAPER}), {PLACE}, without a "
               "spread over seeds. The order of the parts is comparable, the numbers are not.")
    download("Differences (CSV)", lambda: differences_csv(result), file_name=f"{result.name}-ablation.csv", mime="text/csv",
             key=f"csv.{folder.name}")


def difference_points(result: Ablation, metric: str) -> pd.DataFrame:
    """Return the differences as `charts.intervals` draws them."""
    found = ((variant, result.difference(variant, metric)) for variant in result.parts)
    rows = [(WORDS[variant], DIFFERENCE, each.value, each.low, each.high) for variant, each in found]
    return pd.DataFrame(rows, columns=["label", "series", "value", "low", "high"]).astype({"value": float, "low": float, "high": float})


def differences_csv(result: Ablation) -> str:
    """Return every value of every seed, its difference to the whole recipe, and the published one."""
    rows = []
    for variant, metrics in result.values.items():
        for metric, values in metrics.items():
            rows += [(variant, metric, seed, value, value - whole, PUBLISHED.get(variant))
                     for seed, value, whole in zip(result.seeds, values, result.values[FULL][metric], strict=True)]
    return pd.DataFrame(rows, columns=["variant", "metric", "seed", "value", "difference", "published GLUE points"]).to_csv(index=False)
