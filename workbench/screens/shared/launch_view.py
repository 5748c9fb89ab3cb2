"""Where a new experiment or the runs of a sweep are carried out: in the queue of this machine, or as jobs of a SLURM cluster."""

from __future__ import annotations

import shutil
from typing import Any, Literal, get_args

import streamlit as st
import yaml
from pydantic.fields import FieldInfo

from core.config import ExperimentConfig
from core.errors import ConfigError
from workbench.launch import settings
from workbench.launch.launcher import SlurmSpec, read_spec
from workbench.runs import submission
from workbench.screens.shared import state, views

HERE, CLUSTER = "this machine", "SLURM cluster"
PLACE = "launch.place"
LABELS = {"partition": "Partition", "nodes": "Nodes", "processes_per_node": "Processes per node", "gpus_per_node": "GPUs per node",
          "cpus_per_task": "Cores per process", "memory_gib": "Memory per node (GiB)", "minutes": "Time limit (minutes)",
          "warning_seconds": "Checkpoint before its end (s)", "account": "Account", "folder": "Folder of the runs",
          "host": "Host (ssh)", "python": "Python of the cluster", "sync_seconds": "Seconds between looks at a host",
          "setup": "Shell lines before the run", "extra": "Further options of sbatch"}
PLACEHOLDERS = {"folder": "the home folder", "host": "none: this machine", "python": "the default", "setup": "module load cuda",
                "extra": "constraint: a100"}
ROW = 3  # fields beside each other


def elsewhere() -> bool:
    """Return whether a cluster is chosen: what this machine lacks is no obstacle then."""
    return bool(st.session_state.get(PLACE) == CLUSTER)


def launcher(config: ExperimentConfig | None) -> SlurmSpec | Literal["wrong"] | None:
    """Draw the choice, and the settings of the job; return them, None for this machine, ``wrong`` where a setting cannot be.

    Args:
        config: of the experiment, or of a sweep's first run; None while something in it is wrong.
    """
    with st.expander("Where it runs", icon=":material/dns:", expanded=elsewhere()):
        st.segmented_control("Where it runs", (HERE, CLUSTER), default=HERE, required=True, key=PLACE, label_visibility="collapsed")
        if not elsewhere():
            st.caption("In the queue of this machine: one run at a time on each device.")
            return None
        plain = _fields(settings.kept(state.store().home))
        if shutil.which("sbatch") is None and not plain["host"]:
            st.warning("`sbatch` is not here: Stillhouse has to run where jobs of the cluster are submitted, as on its login node, or be "
                       "given such a machine as the host.", icon=":material/warning:")
        try:
            spec = read_spec(plain)
        except ConfigError as error:
            st.error(views.no_images(f"{error.given} {error.expected}"), icon=":material/error:")
            return "wrong"
        _host(spec)
        if config is not None and (spec.host is not None or st.toggle("Show the script", key="launch.script")):
            with views.errors_shown():
                _preview(config, spec)
        return spec


def _host(spec: SlurmSpec) -> None:
    """Offer to look at a host before anything is sent there."""
    if spec.host is not None and st.button("Check the host", icon=":material/lan:", key="launch.check"):
        with views.errors_shown(), st.spinner(f"Connecting to {spec.host} …"):
            submission.require_ready(spec)
            st.success(f"{spec.host} has rsync, sbatch, the folder and this release of Stillhouse.", icon=":material/check:")


def _preview(config: ExperimentConfig, spec: SlurmSpec) -> None:
    """Draw what is copied, where something is, and the script with the commands around it."""
    planned = submission.preview(config, state.store(), spec)
    if planned.copies is not None:
        st.caption(views.plain(planned.copies.text(str(spec.host))))
        if not st.toggle("Show the script", key="launch.script"):
            return
    st.code(planned.script, language="bash")
    if planned.commands:
        st.code("\n".join(planned.commands), language="bash")


def _fields(kept: SlurmSpec) -> dict[str, Any]:
    """Draw a widget for each setting, and return what stands in them."""
    plain: dict[str, Any] = {}
    for first in range(0, len(LABELS), ROW):
        for column, (name, label) in zip(st.columns(ROW, gap="medium"), list(LABELS.items())[first:first + ROW], strict=True):
            with column:
                plain[name] = _field(name, label, SlurmSpec.model_fields[name], getattr(kept, name))
    return plain


def _field(name: str, label: str, field: FieldInfo, value: Any) -> Any:
    key, text, empty = f"launch.{name}", f"{field.description}\n\nFor `--launch`: `{name}`", PLACEHOLDERS.get(name, "the cluster's own")
    if name == "setup":
        lines = st.text_area(label, "\n".join(value), height=90, key=key, help=f"{text}. One a line.", placeholder=empty).splitlines()
        return [line for line in lines if line.strip()]
    if name == "extra":
        options = "\n".join(f"{option}: {given}" for option, given in value.items())
        return _options(st.text_area(label, options, height=90, key=key, help=f"{text}. One a line.", placeholder=empty))
    if field.annotation is int:
        return st.number_input(label, value=value, step=1, key=key, help=text)
    if str in get_args(field.annotation):
        return st.text_input(label, value or "", key=key, help=text, placeholder=empty).strip() or None
    return st.number_input(label, value=value, step=1.0, key=key, help=text, placeholder=empty)


def _options(text: str) -> Any:
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError:
        return text  # which is refused, with what was expected
