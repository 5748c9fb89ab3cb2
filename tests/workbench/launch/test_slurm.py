"""Runs as jobs: the script, what is refused, and a real cluster of two node daemons with a job that is preempted and queued again."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from tests.app_process import end_runs_of
from tests.core.chat_models import save_chat_model
from tests.interpreters import heavy_modules
from tests.pages.conftest import opened
from tests.waiting import wait_until
from tests.workbench.launch.cluster import NODES, Cluster, cluster
from workbench.errors import LaunchError
from workbench.launch import settings, slurm
from workbench.launch.job import Job
from workbench.launch.launcher import SlurmSpec, job_id_file, read_spec
from workbench.launch.slurm import Slurm
from workbench.runs import jobs
from workbench.screens.shared import background
from workbench.store import Store
from workbench.store.records import ACTIVE, Run

STEPS = 40
ACCUMULATION = 32  # steps so long that the fastest machine has not taken them all when the job is preempted


def test_the_script_says_what_the_settings_say(tmp_path: Path) -> None:
    spec = settings.overridden(SlurmSpec(), ["partition=gpu", "gpus_per_node=4", "processes_per_node=4", "minutes=240", "memory_gib=1.5",
                                             "extra={constraint: a100}", "setup=[module load cuda]"], nodes=2)
    script = Slurm(spec).script(Job(tmp_path / "a run", parse_recipe({"name": "big"}), {}, ""))
    for line in ("--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--partition=gpu", "--time=240", "--mem=1536M",
                 "--constraint=a100", "--requeue", "--signal=USR2@90", "--job-name=stillhouse-big"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load cuda\n" in script and "srun --unbuffered" in script
    assert f"-m workbench.launch.rank '{tmp_path}/a run'" in script and "submitit.core" not in script
    assert spec.processes == 8


@pytest.mark.parametrize(("wrong", "said"), [
    ("minutes=1", "no time is left"), ("nodes=0", "nodes"), ("colour=red", "one of these keys"), ("extra={a b: x}", "no option of sbatch"),
    ("nodes", "KEY=VALUE"), ("minutes=soon", "minutes")])
def test_settings_that_cannot_be_are_refused(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings.overridden(SlurmSpec(), [wrong])
    assert said in f"{error.value.given} {error.value.expected}"


def test_one_process_of_a_job_shares_out_no_weights() -> None:
    with pytest.raises(ConfigError, match=r"train\.sharding is both, and the job has one process"):
        jobs.submit(parse_recipe({"train": {"sharding": "both"}}), Store(), launch=SlurmSpec(nodes=1, processes_per_node=1))


@pytest.mark.parametrize(("train", "said"), [
    ({"processes": 2}, "train.processes is 2"), ({"per_device_train_batch_size": 3}, "The job has 4 processes, and a step 3 items")])
def test_a_run_that_the_processes_of_a_job_cannot_share_is_not_submitted(train: dict[str, int], said: str) -> None:
    store = Store()
    with pytest.raises(ConfigError, match=said):
        jobs.submit(parse_recipe({"train": train}), store, launch=SlurmSpec(nodes=2, processes_per_node=2))
    assert store.runs() == []


def test_a_run_on_a_shared_folder_is_linked_to_and_goes_with_it(tmp_path: Path) -> None:
    store = Store()
    run = store.create_run(parse_recipe({"name": "far"}), launch=SlurmSpec(folder=str(tmp_path / "shared")).model_dump(mode="json"))
    assert (tmp_path / "shared" / run.id / "recipe.yaml").is_file() and run.directory.is_symlink()
    assert read_spec(store.run(run.id).launch or {}).folder == str(tmp_path / "shared")
    store.delete(run.id)
    store.purge(run.id)
    assert not (tmp_path / "shared" / run.id).exists() and not run.directory.is_symlink()


def test_settings_are_kept(tmp_path: Path) -> None:
    assert settings.kept(tmp_path) == SlurmSpec()
    settings.keep(tmp_path, SlurmSpec(partition="gpu"))
    assert settings.kept(tmp_path).partition == "gpu"
    (tmp_path / settings.FILE).write_text('{"slurm": {"nodes": "many"}}')
    assert settings.kept(tmp_path) == SlurmSpec()


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="'scontrol' is not here"):
        Slurm(SlurmSpec()).status("1")


@pytest.mark.parametrize(("facts", "state", "failure"), [
    ("JobState=PENDING Reason=Resources NodeList=(null)", "waiting", ""),
    ("JobState=RUNNING Reason=None NodeList=n[1-2] Restarts=1", "running", ""),
    ("JobState=FAILED ExitCode=44:0", "ended", "do not see the run's folder"),
    ("JobState=OUT_OF_MEMORY ExitCode=0:125", "ended", "more memory"),
    ("JobState=FAILED ExitCode=1:0", "ended", "")])
def test_the_words_of_scontrol_are_read(monkeypatch: pytest.MonkeyPatch, facts: str, state: str, failure: str) -> None:
    monkeypatch.setattr(slurm, "_slurm", lambda *command: facts)
    status = Slurm(SlurmSpec()).status("7")
    assert status.state == state and failure in status.failure and bool(status.failure) == bool(failure)
    if "Restarts=1" in facts:
        assert status.text == "SLURM job 7: RUNNING (n[1-2]), queued again once"


def experiment(folder: Path, name: str) -> dict[str, object]:
    corpus = folder / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(120)))
    teacher = folder / "teacher"
    return {"name": name, "teacher": {"model": str(teacher if teacher.exists() else save_chat_model(teacher, layers=2))},
            "student": {"layers": 1}, "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
            "train": {"max_steps": STEPS, "per_device_train_batch_size": 2, "gradient_accumulation_steps": ACCUMULATION, "save_steps": 5,
                      "device": "cpu", "precision": "fp32"},
            "evaluation": {"eval_steps": 20, "blocks": 2, "prompts": [], "sentiment_items": 0}}


def ended(store: Store, run: Run, step: int = STEPS + 1) -> Run:
    """The run when it has taken a step or has ended; pytest's own limit ends the wait for what never comes."""
    while (run := store.run(run.id)).status in ACTIVE and run.progress.step < step:
        time.sleep(0.1)
    return run


@pytest.mark.timeout(1500)  # torch is imported eight times; a busy machine takes minutes for it
def test_two_jobs_on_two_machines_one_of_them_preempted(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_streamlit_caches: None) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(background, "warmed", lambda model: None)  # pages load no model
    store = Store()
    with cluster() as made:
        with pytest.raises(LaunchError, match="refuses"):
            Slurm(SlurmSpec(partition="none")).submit(_job(tmp_path), print)
        try:
            both = jobs.submit(parse_recipe(experiment(tmp_path, "both")), store, launch=SlurmSpec(nodes=2, warning_seconds=30))
            one = jobs.submit(parse_recipe(experiment(tmp_path, "one")), store, launch=read_spec({"extra": {"nodelist": NODES[0]}}))
            taken = ended(store, both, 10)
            assert taken.status == "running", jobs.log_tail(taken)
            job_id = job_id_file(both.directory).read_text()
            assert any(text.startswith(f"SLURM job {job_id}: RUNNING (") for text in texts(store, both))
            urgent = _preempt(made, tmp_path)
            wait_for_state(made, job_id, "PENDING")
            wait_until(lambda: "PENDING" in texts(store, both)[-1], lambda: str(texts(store, both)))
            other_id = texts(store, one)[0].split()[2].strip(":")
            assert opened("run", run=both.id).get("progress")[0].proto.text.startswith(f"SLURM job {job_id}: PENDING (")
            assert re.search(rf"SLURM job {other_id}: (RUNNING|COMPLETING|COMPLETED) \({NODES[0]}\)", details(one))
            (tmp_path / "go").touch()
            both = ended(store, both)
            assert both.status == "finished", jobs.log_tail(both)
            assert ended(store, one).status == "finished", jobs.log_tail(one)
            assert made.state(urgent) == "COMPLETED"
        finally:
            end_runs_of(store)
    assert f"SLURM job {job_id}: COMPLETED (" in details(both) and "queued again once" in details(both)
    alone = ListRecorder()
    run_experiment(parse_recipe(experiment(tmp_path, "alone")), alone, tmp_path / "alone", load=catalog.load)
    assert any("queued again once" in text for text in texts(store, both)), texts(store, both)
    for run in (both, one):
        for name in ("loss", "eval/perplexity"):
            rows = store.metrics(run.id, STUDENT, [name])
            curve = dict(zip(rows.step.tolist(), rows.value.tolist(), strict=True))
            assert curve == pytest.approx(alone.series(STUDENT, name), rel=1e-5, abs=1e-5), (run.name, name)
        assert store.report(run.id) is not None and (run.output_dir / "model.safetensors").is_file()


def texts(store: Store, run: Run) -> list[str]:
    """What the cluster has said of a run's job."""
    return [event.payload["text"] for event in store.events(run.id, kind="job")]


def details(run: Run) -> str:
    """What the page of a run says of what it was, and of its job."""
    return "".join(each.proto.body for each in opened("run", run=run.id, tab="Recipe").get("html"))


def _job(folder: Path) -> Job:
    job = Job(folder / "refused", parse_recipe({"name": "refused"}), {}, "")
    job.write()
    return job


def _preempt(made: Cluster, folder: Path) -> str:
    """Start a job of the urgent partition that takes the second machine until a file is there."""
    script = folder / "urgent.sh"
    script.write_text(f"#!/bin/sh\nwhile ! test -f {folder}/go; do sleep 0.2; done\n")
    return made.run("sbatch", "--parsable", "-p", "urgent", "-w", NODES[1], "-c", "2", "-o", f"{folder}/urgent.out", str(script)).strip()


def wait_for_state(made: Cluster, job_id: str, state: str) -> None:
    while (now := made.state(job_id)) != state:
        assert now in ("RUNNING", "COMPLETING", "PENDING"), f"The job has ended as {now} before it was {state}."
        time.sleep(0.1)


def test_other_log_handlers_stay_open_when_submitit_is_imported() -> None:
    program = """
import io, logging
from pathlib import Path
from core.recipes import parse_recipe
from workbench.launch.job import Job
from workbench.launch.launcher import SlurmSpec
from workbench.launch.slurm import Slurm
logging.basicConfig(stream=io.StringIO())
before = list(logging._handlerList)
Slurm(SlurmSpec()).script(Job(Path("run"), parse_recipe({}), {}, ""))
assert "submitit" in sys.modules and logging._handlerList == before
"""
    heavy_modules(program)
