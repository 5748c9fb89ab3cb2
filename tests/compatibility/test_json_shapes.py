"""Every verb's ``--json`` has the keys that it had in release 0.1.0, of the same types; it may have more.

``json_shapes/VERB.json`` holds a JSON Schema for each case, recorded with that release. A case that is new since is recorded by

    python -m pytest tests/compatibility/test_json_shapes.py --record-json-shapes -k "verb and case"
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.compatibility.conftest import RELEASE
from tests.compatibility.json_schemas import schema_of
from tests.core.studies.claims.fake_claims import fake, put_in_place
from tests.workbench.runs.test_sweeps import finish
from workbench.processes import Process
from workbench.runs.progress import ProgressLog
from workbench.store import Store
from workbench.terminal import cli

SHAPES = Path(__file__).parent / "json_shapes"
VERBS = ("distill", "submit", "plan", "chain", "ablate", "interpolate", "runs", "show", "stop", "resume", "delete", "restore", "models",
         "signals", "serve-teacher", "fetch", "generate", "export", "evaluate", "annotate", "claim",
         "classroom", "sweep", "sweeps")

SHORT = ["--set", "train.max_steps=2", "--set", "data.max_rows=60"]
BUSY = "cpu_in_use"  # a run of this process: what is queued meanwhile stays queued

# Verb, case -> words of the command, its exit code, the fixtures that prepare it. The home is the one of release 0.1.0.
CASES: dict[tuple[str, str], tuple[list[str], int, tuple[str, ...]]] = {
    ("distill", "finished"): (["{recipes}/distill.yaml"], 0, ()),
    ("distill", "pretrained"): (["{recipes}/pretrain.yaml", *SHORT], 0, ()),
    ("distill", "masked"): (["{recipes}/encoder.yaml"], 0, ()),
    ("distill", "fine-tuned"): (["{recipes}/fine_tune.yaml"], 0, ()),
    ("distill", "bridged"): (["{recipes}/bridge.yaml"], 0, ()),
    ("distill", "stopped"): (["{recipes}/interrupted.yaml"], 130, ("interrupted",)),
    ("distill", "failed"): (["{recipes}/interrupted.yaml", "--set", "train.learning_rate=1e30"], 1, ()),
    ("distill", "refused"): (["{recipes}/interrupted.yaml", "--set", "student.layers=9"], 2, ()),
    ("distill", "specialists"): (["assets/recipes/specialists.yaml", *(word for change in (
        "source=digits", "train_items=150", "test_items=60", "hidden=[4]", "clusters=2", "size=3", "epochs=1", "seeds=2") for word in (
        "--set", f"specialists.{change}")), "--set", "train.num_train_epochs=1"], 0, ()),
    ("distill", "ensemble"): (["assets/recipes/ensemble-digits.yaml", *(word for change in (
        "ensemble.seeds=2", "images.max_train_items=60", "images.max_items=60", "train.max_steps=2") for word in (
            "--set", change))], 0, ()),
    ("distill", "compared ensemble"): (["{recipes}/distill.yaml", *(word for change in (
        "teacher.model=arithmetic(pretrained, pretrained)", "student.intermediate_size=null", "losses.w_hidden=0",
        "losses.w_hidden_mse=0", "train.max_steps=2", "evaluation.retention=null",
        "evaluation.ensemble_seeds=2") for word in ("--set", change))], 0, ()),
    ("submit", "queued"): (["{recipes}/interrupted.yaml"], 0, (BUSY,)),
    ("submit", "script"): (["{recipes}/distill.yaml", "--launcher", "slurm", "--nodes", "2", "--dry-run"], 0, ()),
    ("submit", "script for a host"): (["{recipes}/distill.yaml", "--launcher", "slurm", "--launch", "host=far", "--launch", "folder=/far",
                                       "--dry-run"], 0, ()),
    ("plan", "distillation"): (["{recipes}/distill.yaml"], 0, ()),
    ("plan", "measured"): (["{recipes}/interrupted.yaml", "--measure"], 0, ()),
    ("plan", "fresh"): (["{recipes}/pretrain.yaml"], 0, ()),
    ("plan", "fine-tuning"): (["{recipes}/fine_tune.yaml"], 0, ()),
    ("plan", "chain"): (["{recipes}/chain.yaml"], 0, ()),
    ("plan", "does not fit"): (["{recipes}/interrupted.yaml", "--set", "student.layers=9"], 2, ()),
    ("chain", "finished"): (["{recipes}/chain.yaml"], 0, ()),
    ("ablate", "finished"): (["{recipes}/ablate.yaml", "--seeds", "2"], 0, ()),
    ("interpolate", "substitution"): (["chain", "--layers", "3", "--out", "{out}"], 0, ()),
    ("interpolate", "interpolation"): (["chain", "--params", "4k", "--alpha", "0.5", "--out", "{out}"], 0, ()),
    ("runs", "all"): (["--deleted"], 0, (BUSY,)),
    ("show", "distilled"): (["distilled"], 0, ()),
    ("show", "stopped"): (["stopped"], 0, ()),
    ("show", "chain run"): (["chain"], 0, ()),
    ("show", "bridged"): (["bridged"], 0, ()),
    ("show", "fine-tuned"): (["tuned"], 0, ()),
    ("show", "chain"): (["{chain}"], 0, ()),
    ("stop", "running"): (["ahead"], 0, (BUSY,)),
    ("resume", "stopped"): (["stopped"], 0, (BUSY,)),
    ("delete", "binned"): (["whole"], 0, ()),
    ("delete", "purged"): (["deleted", "--purge"], 0, ()),
    ("restore", "binned"): (["deleted"], 0, ()),
    ("models", "all"): ([], 0, ()),
    ("signals", "built"): (["build", "{recipes}/distill.yaml"], 0, ()),
    ("signals", "listed"): (["list"], 0, ("kept_answers",)),
    ("serve-teacher", "ended"): (["whole", "--port", "0"], 0, ("ended_server",)),
    ("classroom", "ended"): (["--name", "Tuesday"], 0, ("ended_class",)),
    ("fetch", "run"): (["distilled"], 0, ()),
    ("fetch", "house model"): (["house-chat"], 0, ()),
    ("fetch", "browser runtime"): (["browser-runtime"], 0, ("browser_runtime",)),
    ("generate", "continuation"): (["distilled", "--prompt", "Hello", "--max-new-tokens", "3"], 0, ()),
    ("generate", "blanks"): (["encoder", "--prompt", "the film was [MASK]."], 0, ()),
    ("generate", "classes"): (["tuned", "--prompt", "the film was good"], 0, ()),
    ("export", "folder"): (["whole", "--format", "folder", "--out", "{out}"], 0, ()),
    ("export", "onnx-int8"): (["encoder", "--format", "onnx-int8", "--out", "{out}"], 0, ()),
    ("evaluate", "language"): (["whole", "--items", "2"], 0, ()),
    ("evaluate", "masked language"): (["encoder", "--items", "2"], 0, ()),
    ("evaluate", "labels"): (["tuned"], 0, ()),
    ("evaluate", "zero-shot labels"): (["whole", "--tasks", "rt", "--items", "4"], 0, ()),
    ("annotate", "exact"): (["assets/recipes/reading.yaml", "--set", "reading.paragraphs=3", "--out", "{out}"], 0, ()),
    ("annotate", "kept"): (["assets/recipes/reading.yaml", "--set", "reading.paragraphs=2", "--set", "reading.model=whole", "--set",
                           "reading.notes=none"], 0, ()),
    ("claim", "one"): (["X1"], 0, ("claims",)),
    ("claim", "two"): (["X1", "X2", "--seeds", "2"], 0, ("claims",)),
    ("claim", "list"): ([], 0, ("checked_claim",)),
    ("sweep", "queued"): (["{recipes}/interrupted.yaml", "--grid", "losses.temperature=1,2,-1", "--seeds", "2", "--skip-invalid",
                           "--no-measure"], 0, (BUSY,)),
    ("sweep", "measured"): (["{recipes}/interrupted.yaml", "--seeds", "2", "--dry-run"], 0, ()),
    ("sweeps", "list"): (["list"], 0, ("measured_sweep",)),
    ("sweeps", "show"): (["show", "swept"], 0, ("measured_sweep",)),
    ("sweeps", "delete"): (["delete", "swept"], 0, ("measured_sweep",)),
}


@pytest.fixture
def cpu_in_use(release_home: Path) -> None:
    store = Store()
    run = store.create_run(store.run("whole").config.model_copy(update={"name": "ahead"}), device="cpu")
    assert store.mark_running(run.id, Process.current())


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, once, at step 2."""
    log, done = ProgressLog.log, []

    def interrupting(self: ProgressLog, variant: str, step: int, metrics: Any) -> None:
        log(self, variant, step, metrics)
        if step == 2 and not done:
            done.append(step)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressLog, "log", interrupting)


@pytest.fixture
def kept_answers(release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["signals", "build", str(RELEASE / "recipes" / "distill.yaml")]) == 0
    capsys.readouterr()


@pytest.fixture
def ended_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.teacher_server.serve", lambda *_: None)


@pytest.fixture
def ended_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.serve.main", lambda *_: None)
    for variable in ("STILLHOUSE_PASSWORD", "STILLHOUSE_CLASS"):  # set by the verb
        monkeypatch.setenv(variable, "")


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("X1"), fake("X2"))


@pytest.fixture
def checked_claim(claims: None, release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claim", "X1"]) == 0
    capsys.readouterr()


@pytest.fixture
def measured_sweep(cpu_in_use: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep of two settings and two seeds, all finished."""
    recipe = str(RELEASE / "recipes" / "interrupted.yaml")
    assert cli.main(["sweep", recipe, "--grid", "losses.temperature=1,2", "--seeds", "2", "--no-measure", "--name", "swept"]) == 0
    capsys.readouterr()
    store = Store()
    store.finish(store.run("ahead").id, "stopped")
    for number, each in enumerate(store.sweep_runs(store.sweep("swept").id)):
        finish(store, each.run, perplexity=4.0 + number)


@pytest.fixture
def browser_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.export import browser_runtime

    monkeypatch.setattr(browser_runtime, "fetch", lambda progress: [Path("folder")])


@pytest.fixture
def run_json(release_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Runs one command with --json; returns its exit code and the document on standard output."""
    chain = release_home / "runs" / Store().run("chain").id
    places = {"recipes": RELEASE / "recipes", "out": tmp_path / "out", "chain": chain}

    def run(verb: str, *words: str) -> tuple[int, Any]:
        code = cli.main([verb, *(word.format(**places) for word in words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(("verb", "case"), CASES, ids=[f"{verb}-{case}" for verb, case in CASES])
def test_a_verb_prints_what_it_printed(verb: str, case: str, run_json: Callable[..., tuple[int, Any]],
                                       request: pytest.FixtureRequest) -> None:
    words, expected, fixtures = CASES[verb, case]
    for name in fixtures:
        request.getfixturevalue(name)
    code, document = run_json(verb, *words)
    assert code == expected, document
    if request.config.getoption("--record-json-shapes", default=False):
        record(verb, case, document)
    schema = json.loads((SHAPES / f"{verb}.json").read_text())[case]
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]
    assert not problems, "\n".join(problems)


def record(verb: str, case: str, document: Any) -> None:
    """Add a case to the file of its verb."""
    path = SHAPES / f"{verb}.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(known | {case: schema_of(document)}, indent=1) + "\n")


def test_every_verb_has_its_shapes() -> None:
    recorded = {(path.stem, case) for path in SHAPES.glob("*.json") for case in json.loads(path.read_text())}
    assert recorded == set(CASES)
    assert {verb for verb, _ in CASES} == set(VERBS)


# ---------------------------------------------------------------------------------------------------- the shapes themselves


PLAIN = {"name": "a", "steps": 1, "hint": None, "parts": [{"loss": 0.5, "note": None}, {"loss": None}], "done": True}


@pytest.mark.parametrize(("changes", "fits"), [
    ({}, True), ({"more": 1}, True), ({"steps": 1.5}, True), ({"hint": "now it is known"}, True), ({"parts": []}, True),
    ({"steps": "1"}, False), ({"steps": True}, False), ({"done": 1}, False), ({"name": None}, False), ({"parts": {}}, False),
    ({"parts": [{"loss": "0.5"}]}, False), ({"parts": [{"note": "x"}]}, False)])
def test_a_shape_allows_more_keys_and_no_other_types(changes: dict[str, Any], fits: bool) -> None:
    schema = schema_of(PLAIN)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(PLAIN | changes) == fits


@pytest.mark.parametrize("key", PLAIN)
def test_a_shape_misses_every_key(key: str) -> None:
    assert not Draft202012Validator(schema_of(PLAIN)).is_valid({name: value for name, value in PLAIN.items() if name != key})
