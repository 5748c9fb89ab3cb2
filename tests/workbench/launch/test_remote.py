"""Jobs on a host that shares no folder with this machine: what is there before one is submitted, what comes back, and lost connections."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import __version__
from core.errors import ConfigError
from core.events import JobState, RunWarning
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from core.reports.run_report import RunReport, StudentSummary
from tests.app_process import ROOT, end_runs_of
from tests.workbench.launch.cluster import cluster
from tests.workbench.launch.fake_host import FakeHost, fake_host
from tests.workbench.launch.sshd import loopback_host
from tests.workbench.launch.test_slurm import ended, experiment, texts
from tests.workbench.launch.test_watching import Recorder
from workbench.errors import HostError, LaunchError
from workbench.launch import remote, settings, watching
from workbench.launch.host import Host
from workbench.launch.job import Job
from workbench.launch.launcher import SlurmSpec, job_id_file, read_spec
from workbench.launch.records import RecordsWriter
from workbench.launch.remote import RemoteSlurm
from workbench.launch.watching import watch
from workbench.runs import jobs, submission
from workbench.store import Store

STEPS = 6


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return fake_host(tmp_path, monkeypatch, __version__)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    corpus, teacher, directory = tmp_path / "film reviews.txt", tmp_path / "teacher", tmp_path / "runs" / "a-1"
    corpus.write_text("words\n")
    teacher.mkdir()
    (teacher / "model.safetensors").write_bytes(bytes(5000))
    directory.mkdir(parents=True)
    (directory / "recipe.yaml").write_text("name: far\n")
    (directory / "log.txt").write_text("of the watcher")
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "old").write_text("an earlier one")
    config = parse_recipe({"name": "far", "teacher": {"model": str(teacher)}, "data": {"source": str(corpus)}})
    entry = {"path": str(teacher), "name": "teacher", "kind": "folder", "source": "", "description": ""}
    job = Job(directory, config, {str(teacher): entry}, "command", (str(corpus),))
    job.write()
    return job


def place(fake: FakeHost, job: Job) -> RemoteSlurm:
    return RemoteSlurm(SlurmSpec(host="far", folder=str(fake.folder), sync_seconds=1), job.directory)


def nothing(text: str) -> None:
    """Take progress, and do nothing with it."""


@pytest.mark.parametrize(("wrong", "said"), [
    (["host=-oProxyCommand=x", "folder=/x"], "no host of ssh"), (["host=a b", "folder=/x"], "no host of ssh"),
    (["host=far"], "folder is None"), (["host=far", "folder=runs"], "folder is 'runs'"),
    (["host=far", "folder=~/runs"], "from the root on"), (["host=far", 'folder="/a\\nb"'], "line break"),
    (["sync_seconds=0"], "sync_seconds")])
def test_settings_of_a_host_that_cannot_be_are_refused(wrong: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings.overridden(SlurmSpec(), wrong)
    assert said.lower() in f"{error.value.given} {error.value.expected}".lower()


@pytest.mark.parametrize("name", ["partition", "account", "folder", "python"])
def test_no_setting_adds_a_line_to_the_script_of_a_job(name: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        SlurmSpec.model_validate({name: "a\ncurl far | sh"})


def test_everything_is_there_before_the_job_is_submitted(fake: FakeHost, job: Job) -> None:
    shown: list[str] = []
    assert place(fake, job).submit(job, shown.append) == "1"
    run = fake.folder / "a-1"
    assert (fake.here / "cwd").read_text().strip() == str(run / "ranks")
    there = Job.read(run)
    teacher, = there.models.values()
    assert Path(teacher["path"]).is_relative_to(fake.folder / "inputs") and (Path(teacher["path"]) / "model.safetensors").is_file()
    assert Path(there.config.data.source).read_text() == "words\n"
    assert (run / "checkpoints" / "old").is_file() and not (run / "log.txt").exists()
    script = (run / "ranks" / "job.sh").read_text()
    assert f"python3 -u -m workbench.launch.rank {shlex.quote(str(run))}" in script and "PYTHONPATH" not in script
    assert [text for text in shown if "100%" in text] and "teacher (5 kB) to far: 100%" in " ".join(shown)


@pytest.mark.parametrize(("program", "said"), [
    ("rsync", "There is no rsync on 'far'"), ("sbatch", "There is no sbatch on 'far'"),
    ("python3", "'python3' on 'far' has no Stillhouse")])
def test_a_host_without_a_program_is_refused(program: str, said: str, fake: FakeHost, job: Job) -> None:
    fake.program(program, "")
    _refused(fake, job, said)


@pytest.mark.parametrize(("release", "said"), [
    ("0.0.9", "has Stillhouse 0.0.9"), (f"{__version__} torch submitit", "no torch and no submitit")])
def test_another_release_there_is_refused(release: str, said: str, fake: FakeHost, job: Job) -> None:
    (fake.here / "release").write_text(release)
    _refused(fake, job, said, f"stillhouse[slurm]=={__version__}")


def test_a_folder_that_cannot_be_made_is_refused(fake: FakeHost, job: Job) -> None:
    fake.folder.touch()
    _refused(fake, job, "is no folder for runs")


def test_a_disk_with_too_little_room_is_refused(fake: FakeHost, job: Job) -> None:
    fake.program("df", "#!/bin/sh\necho head\necho disk 9 8 1 9% /\n")
    _refused(fake, job, "has 1.02 kB left")


def test_a_disk_that_fills_while_files_are_copied_leaves_nothing_submitted(fake: FakeHost, job: Job) -> None:
    fake.program("rsync", "#!/bin/sh\necho 'rsync: [receiver] write failed on \"x\": No space left on device (28)' >&2\nexit 11\n")
    _refused(fake, job, "disk of 'far' is full")


def test_a_key_that_is_refused_is_said_and_nothing_is_queued(fake: FakeHost) -> None:
    (fake.here / "refusal").write_text("me@far: Permission denied (publickey).\n")
    store = Store()
    with pytest.raises(HostError, match="ssh does not get to 'far'"):
        jobs.submit(parse_recipe({}), store, launch=SlurmSpec(host="far", folder=str(fake.folder)))
    assert store.runs() == []


def test_what_the_cluster_refuses_is_said_in_its_words(fake: FakeHost, job: Job) -> None:
    fake.program("sbatch", "#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpu' >&2\nexit 1\n")
    with pytest.raises(LaunchError, match=r"refuses it \(sbatch\)") as error:
        place(fake, job).submit(job, nothing)
    assert error.value.expected == "invalid partition specified: gpu"


def _refused(fake: FakeHost, job: Job, said: str, fix: str = "") -> None:
    with pytest.raises(LaunchError) as error:
        place(fake, job).submit(job, nothing)
    assert said in error.value.given and fix in error.value.fix and error.value.fix
    assert not (fake.here / "submitted").exists()


def test_a_stop_while_files_are_copied_ends_that_and_nothing_is_submitted(fake: FakeHost, job: Job) -> None:
    def stop(text: str) -> None:
        if text.startswith("Copying"):
            raise StopRequested

    with pytest.raises(StopRequested):
        place(fake, job).submit(job, stop)
    assert watch(job.config, Recorder(stop_after=0), job.directory, job=job, launcher=place(fake, job)) is None
    assert not (fake.here / "submitted").exists()


def test_a_connection_that_breaks_while_files_are_copied_is_tried_again(
        fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=lambda seconds: None))
    shown: list[str] = []

    def cut(text: str) -> None:
        shown.append(text)
        if text.endswith("teacher (5 kB) to far: 100%") and shown.count(text) == 1:
            (fake.here / "cut").touch()

    assert place(fake, job).submit(job, cut) == "1"
    assert [text for text in shown if "Trying again" in text] == [
        "There is no connection to 'far' (client_loop: send disconnect: Broken pipe). Trying again."]
    assert (fake.here / "submitted").read_text() == "x\n"


def test_a_job_whose_answer_is_lost_is_submitted_once(fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=lambda seconds: None))
    fake.program("sbatch", "#!/bin/sh\necho x >> '{here}/submitted'\necho 7\ntouch '{here}/cut'\n")
    shown: list[str] = []
    assert place(fake, job).submit(job, shown.append) == "7"
    assert shown[-2:] == ["There is no connection to 'far' (client_loop: send disconnect: Broken pipe). Trying again.", "Checking far."]
    assert place(fake, job).submit(job, nothing) == "7", "a later call finds it"
    assert (fake.here / "submitted").read_text() == "x\n"


@pytest.mark.parametrize(("said", "tried"), [("Host key verification failed.", 1), ("Connection closed by remote host", remote.ATTEMPTS)])
def test_what_only_the_user_can_change_is_not_tried_again(
        said: str, tried: int, fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=waits.append))
    (fake.here / "refusal").write_text(f"{said}\n")
    with pytest.raises(HostError, match=said[:20]):
        place(fake, job).submit(job, nothing)
    assert len(fake.calls()) == tried and len(waits) == tried - 1


def test_records_come_back_while_it_runs_and_a_stop_goes_there(fake: FakeHost, job: Job) -> None:
    launcher = place(fake, job)
    launcher.submit(job, nothing)
    ranks = fake.folder / "a-1" / "ranks"
    RecordsWriter(ranks).log("student", 1, {"loss": 2.0})
    assert launcher.sync(nothing) == "" and (job.folder / "records.jsonl").is_file() and not (ranks / "stop").exists()
    (job.folder / "stop").touch()
    launcher.sync(nothing)
    assert (ranks / "stop").exists()
    status = launcher.status("1")
    assert (status.state, status.text) == ("running", "SLURM job 1 on far: RUNNING (n1)")


def finish(fake: FakeHost, run: Path) -> None:
    """Leave what a job leaves that has ended."""
    there = Job.read(run)
    (run / "student").mkdir()
    (run / "student" / "model.safetensors").write_bytes(bytes(1000))
    (run / "student" / "recipe.yaml").write_text(there.config.to_yaml())
    shutil.rmtree(run / "checkpoints")
    (run / "ranks" / "1_0_log.out").write_text("srun: done\n")
    recorder = RecordsWriter(run / "ranks")
    recorder.log("student", 2, {"loss": 1.0})
    recorder.event(RunWarning(f"seen in {run}/student"))
    recorder.end(RunReport(str(run / "student"), None, StudentSummary("student"), {}, None, 1.0, 2, 3.0, False, "command"))
    (fake.here / "state").write_text("COMPLETED")


def watched(fake: FakeHost, job: Job, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> RunReport:
    """Watch a job; between two looks each act is done, one after the other."""
    left = list(acts)
    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=lambda seconds: left.pop(0)()))
    report = watch(job.config, recorder, job.directory, job=job, launcher=place(fake, job))
    assert isinstance(report, RunReport) and not left
    return report


def test_a_run_that_has_ended_is_here_whole_names_this_machine_and_is_gone_there(
        fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, run = Recorder(), fake.folder / "a-1"
    early = RunWarning(f"early in {run}")
    report = watched(fake, job, recorder, monkeypatch, lambda: RecordsWriter(run / "ranks").event(early), nothing_more,
                     lambda: finish(fake, run))
    assert report.output_dir == str(job.directory / "student")
    assert recorder.series("student", "loss") == {2: 1.0}
    assert [warning.message for warning in recorder.of(RunWarning)] == [f"early in {job.directory}", f"seen in {job.directory}/student"]
    assert (job.directory / "student" / "recipe.yaml").read_text() == job.config.to_yaml()
    assert not (job.directory / "checkpoints").exists() and (job.directory / "log.txt").read_text() == "of the watcher"
    assert not run.exists() and any(fake.folder.glob("inputs/*/teacher"))
    assert "Verifying what came from far." in [state.text for state in recorder.of(JobState)]
    assert place(fake, job).log("1") == "srun: done" and not job_id_file(job.directory).exists()


def test_a_connection_that_is_lost_is_waited_for_and_nothing_is_lost(fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, run, refusal = Recorder(), fake.folder / "a-1", fake.here / "refusal"

    def log_and_cut() -> None:
        RecordsWriter(run / "ranks").log("student", 1, {"loss": 3.0})
        refusal.write_text("ssh: connect to host far port 22: Connection timed out\n")

    def finish_and_restore() -> None:
        finish(fake, run)
        refusal.unlink()

    watched(fake, job, recorder, monkeypatch, log_and_cut, nothing_more, finish_and_restore)
    assert recorder.series("student", "loss") == {1: 3.0, 2: 1.0}
    said = [state.text for state in recorder.of(JobState)]
    lost = "There is no connection to 'far' (ssh: connect to host far port 22: Connection timed out). Trying again."
    assert said.count(lost) == 1 and said.index(lost) < said.index("SLURM job 1 on far: COMPLETED (n1)")
    assert (fake.here / "submitted").read_text() == "x\n"


def nothing_more() -> None:
    """Let time go by."""


def test_a_connection_is_tried_at_growing_intervals(fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    place(fake, job).submit(job, nothing)
    job_id_file(job.directory).write_text("1")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        (fake.here / "refusal").write_text("ssh: connect to host far port 22: No route to host\n")

    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(HostError, match="No route to host"):
        watch(job.config, Recorder(), job.directory, job=job, launcher=place(fake, job), patience=200)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60] and job_id_file(job.directory).read_text() == "1", "Resume takes the job up"


def test_resume_fetches_what_a_job_has_left_whose_watcher_was_lost(fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    place(fake, job).submit(job, nothing)
    job_id_file(job.directory).write_text("1")
    finish(fake, fake.folder / "a-1")
    recorder = Recorder()
    watched(fake, job, recorder, monkeypatch)
    assert (fake.here / "submitted").read_text() == "x\n" and recorder.series("student", "loss") == {2: 1.0}


def test_a_job_that_was_cancelled_is_submitted_again_from_its_checkpoint(fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    place(fake, job).submit(job, nothing)
    job_id_file(job.directory).write_text("1")
    (fake.folder / "a-1" / "checkpoints" / "new").write_text("a later one")
    (fake.here / "state").write_text("CANCELLED")

    def start() -> None:
        assert (fake.folder / "a-1" / "checkpoints" / "new").is_file(), "it went back"
        finish(fake, fake.folder / "a-1")

    fake.program("sbatch", "#!/bin/sh\necho x >> '{here}/submitted'\necho RUNNING > '{here}/state'\necho 2\n")
    watched(fake, job, Recorder(), monkeypatch, start)
    assert (fake.here / "submitted").read_text() == "x\nx\n"


def test_files_that_differ_after_they_came_back_are_copied_again_or_kept_there(
        fake: FakeHost, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = place(fake, job)
    launcher.submit(job, nothing)
    finish(fake, fake.folder / "a-1")
    found = [["student/model.safetensors"], ["student/model.safetensors"], ["student/model.safetensors"], []]
    monkeypatch.setattr(Host, "differences", lambda self, *options: found.pop(0))
    with pytest.raises(LaunchError, match=r"student/model\.safetensors of the run is not here what it is on 'far'"):
        launcher.sync(nothing, ended=True)
    assert (fake.folder / "a-1").is_dir()
    shown: list[str] = []
    assert launcher.sync(shown.append, ended=True) == "" and "Copying what differs from far again." in shown
    assert not (fake.folder / "a-1").exists()


def test_a_folder_that_cannot_be_removed_there_is_named(fake: FakeHost, job: Job) -> None:
    launcher = place(fake, job)
    launcher.submit(job, nothing)
    finish(fake, fake.folder / "a-1")
    fake.program("rm", "#!/bin/sh\necho rm: no >&2\nexit 1\n")
    assert f"Remove {fake.folder}/a-1 there." in launcher.sync(nothing, ended=True)
    assert (job.directory / "student" / "model.safetensors").is_file()


def test_a_run_of_a_host_that_is_out_of_reach_can_be_ended(fake: FakeHost) -> None:
    store = Store()
    run = store.create_run(parse_recipe({"name": "far"}), launch=SlurmSpec(host="far", folder=str(fake.folder)).model_dump(mode="json"))
    assert not run.directory.is_symlink() and not fake.folder.exists(), "the folder is one of the host"
    store.claim(run.id, "slurm")
    job_id_file(run.directory).parent.mkdir()
    job_id_file(run.directory).write_text("1")
    (fake.here / "refusal").write_text("ssh: connect to host far port 22: No route to host\n")
    stopped = jobs.force_stop(run.id, store)
    assert stopped.status == "stopped" and "may still be under way" in str(stopped.hint)


def test_the_preview_says_what_is_copied_and_how(fake: FakeHost, tmp_path: Path) -> None:
    config = parse_recipe(experiment(tmp_path, "shown"))
    planned = submission.preview(config, Store(), SlurmSpec(host="far", folder="/scratch/me", nodes=2))
    assert planned.copies is not None and {Path(item.source).name for item in planned.copies.items} == {"reviews.txt", "teacher"}
    assert "#SBATCH --nodes=2\n" in planned.script and "/scratch/me/RUN/ranks/job.json" in planned.script
    assert [line.split()[0] for line in planned.commands] == ["rsync", "rsync", "rsync", "ssh", "rsync", "ssh"]
    assert "ssh far 'sbatch --parsable /scratch/me/RUN/ranks/job.sh'" in planned.commands
    assert fake.calls() == [], "nothing is sent"


@pytest.mark.timeout(900)  # torch is imported twice; a busy machine takes minutes for it
def test_a_job_by_ssh_on_a_real_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, folder = Store(), tmp_path / "there" / "its 'own'"
    plain = experiment(tmp_path, "far")
    plain["train"] = {**plain["train"], "max_steps": STEPS, "gradient_accumulation_steps": 1, "save_steps": 3}  # type: ignore[dict-item]
    config = parse_recipe(plain)
    with cluster() as made:
        variables = {"SLURM_CONF": os.environ["SLURM_CONF"], "STILLHOUSE_HOME": str(tmp_path / "there" / "home"), "OMP_NUM_THREADS": "1"}
        with loopback_host("loopback-cluster", variables, monkeypatch) as server:
            spec = read_spec({"host": "loopback-cluster", "folder": str(folder), "python": sys.executable, "sync_seconds": 1,
                              "setup": [f"export PYTHONPATH={shlex.quote(str(ROOT))}"]})
            (server / "client_key").rename(server / "away")
            with pytest.raises(HostError, match="Permission denied"):
                jobs.submit(config, store, launch=spec)
            (server / "away").rename(server / "client_key")
            with pytest.raises(LaunchError, match="has no Stillhouse"):
                jobs.submit(config, store, launch=replace_setup(spec))
            assert store.runs() == [] and made.run("squeue", "-h") == ""
            try:
                run = ended(store, jobs.submit(config, store, launch=spec))
                assert run.status == "finished", jobs.log_tail(run)
            finally:
                end_runs_of(store)
    said = texts(store, run)
    assert any(text.startswith("SLURM job 1 on loopback-cluster: RUNNING (") for text in said), said
    assert said[-1].startswith("SLURM job 1 on loopback-cluster: COMPLETED"), said
    assert [path.name for path in folder.iterdir()] == ["inputs"]
    alone = ListRecorder()
    run_experiment(config, alone, tmp_path / "alone", load=catalog.load)
    for name in ("loss", "eval/perplexity"):
        rows = store.metrics(run.id, STUDENT, [name])
        assert dict(zip(rows.step.tolist(), rows.value.tolist(), strict=True)) == pytest.approx(alone.series(STUDENT, name), rel=1e-5), name
    record = json.loads((run.output_dir / "stillhouse.json").read_text())
    assert record["config"]["data"]["source"] == config.data.source and record["config_digest"] == run.config_hash
    assert catalog.load(str(run.output_dir)).entry.layers == 1


def replace_setup(spec: SlurmSpec) -> SlurmSpec:
    """Return the settings of a job whose Python has no Stillhouse."""
    return spec.model_copy(update={"setup": (), "python": "/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3"})
