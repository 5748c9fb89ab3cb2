"""Check a claim: its protocol over the seeds, then its rule.

Working time is processor time: other work on the machine does not change it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.evaluation.statistics import mean, standard_error
from core.events import ClaimPart
from core.recorder import NullRecorder, Recorder, stop_if_requested
from core.studies.claims import registry, rules
from core.studies.claims.claim import AllSeeds, Claim, ProtocolConfig, SeedProtocol
from core.studies.claims.outcomes import Number, Outcome, folder, keep, made_here
from core.system.files import read_json, write_json
from core.system.provenance import git_commit, versions


def run_claim(name: str, seeds: Sequence[int] | None = None, recorder: Recorder | None = None, *,
              setting: ProtocolConfig | None = None) -> Outcome:
    """Check one claim, or resume it: seeds that ended before a stop or a crash are not run again.

    Args:
        seeds: different ones (default: the claim's own).
        recorder: gets ``claim`` (name, seed, done, seeds) before each seed, phases and training steps; queried for a stop.
        setting: another scale than the claim's own. Its outcome is returned and not kept, since the rule speaks of the full scale.

    Raises:
        StopRequested: the user requested a stop.
        StillhouseError: an unknown name, no seeds, or whatever stops a protocol.
    """
    claim, recorder = registry.find(name), recorder or NullRecorder()
    seeds = claim.default_seeds if seeds is None else tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"The seeds {list(seeds)} were given.", "One or more different numbers were expected.")
    scale = setting or claim.setting
    if isinstance(claim.protocol, AllSeeds):
        kept = _measure_together(claim, claim.protocol, seeds, scale, recorder)
    else:
        kept = {seed: _measure(claim, claim.protocol, seed, (done, len(seeds)), scale, recorder) for done, seed in enumerate(seeds)}
    outcome = evaluate_claim(claim, {seed: each["numbers"] for seed, each in kept.items()}, scale,
                             sum(each["seconds"] for each in kept.values()))
    if setting is None or setting == claim.setting:
        keep(outcome)
    shutil.rmtree(_seeds_dir(claim), ignore_errors=True)  # the outcome holds them; the next run measures again
    return outcome


def outstanding(count: int) -> list[Claim]:
    """Return the claims that were not checked here, as they stand now, with as many seeds and these releases of the libraries."""
    present = versions()

    def checked(claim: Claim) -> bool:
        outcome = made_here(claim)
        return outcome is not None and set(claim.seeds(count)) <= set(outcome.seeds) and outcome.environment["versions"] == present

    return [claim for claim in registry.CLAIMS.values() if not checked(claim)]


def evaluate_claim(claim: Claim, numbers: Mapping[int, Mapping[str, float]], setting: ProtocolConfig, seconds: float) -> Outcome:
    """Return the outcome of what was measured for each seed."""
    names = list(next(iter(numbers.values())))
    measured = {name: tuple(float(each[name]) for each in numbers.values()) for name in names}
    return Outcome(
        claim.name, claim.rule.judge(measured),
        {name: Number(values, mean(values), standard_error(values)) for name, values in measured.items()},
        tuple(numbers), setting.to_dict(), environment(), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        round(seconds, 1), claim.version, rules.VERSION)


def environment() -> dict[str, Any]:
    """Return the environment that a result depends on."""
    import torch

    from core.system.devices import devices

    return {"versions": versions(), "processor": devices()[-1].description, "threads": torch.get_num_threads(), "git_commit": git_commit()}


def _measure(claim: Claim, protocol: SeedProtocol, seed: int, place: tuple[int, int], setting: ProtocolConfig,
             recorder: Recorder) -> dict[str, Any]:
    path = _seeds_dir(claim) / f"{_key(claim, setting)}-{seed}.json"
    if (found := read_json(path)) is not None:
        return found
    stop_if_requested(recorder)
    recorder.event(ClaimPart(claim.name, seed, *place))
    began = time.process_time()
    numbers = {name: float(value) for name, value in protocol(seed, setting, recorder).items()}
    result = {"numbers": numbers, "seconds": time.process_time() - began}
    write_json(path, result)
    return result


def _measure_together(claim: Claim, together: AllSeeds, seeds: tuple[int, ...], setting: ProtocolConfig,
                      recorder: Recorder) -> dict[int, dict[str, Any]]:
    recorder.event(ClaimPart(claim.name, None, 0, len(seeds)))
    began = time.process_time()
    numbers = together.protocol(seeds, setting, recorder)
    share = (time.process_time() - began) / len(seeds)
    return {seed: {"numbers": dict(numbers[seed]), "seconds": share} for seed in seeds}


def _seeds_dir(claim: Claim) -> Path:
    return folder(claim.name) / "seeds"


def _key(claim: Claim, setting: ProtocolConfig) -> str:
    # Numbers of another release of the libraries do not belong into one outcome with those of this one.
    inputs = [claim.version, setting.digest(), versions()]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
