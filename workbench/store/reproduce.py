"""Run the recipes of this bundle in the folder where it lies, and compare what they reach with what is recorded.

    python reproduce.py [--stillhouse FOLDER] [--tolerance 0.02]

Needs the environment in which Stillhouse runs; `--stillhouse` names a checkout of it where it is not installed. Runs are kept in
``home/`` beside this file, or in the folder that STILLHOUSE_HOME names. Exit code 0: everything is within the tolerance; 1: something is
not; 2: a file is missing or differs.

This file stands alone: it imports the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BUNDLE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Check the files, run every recipe, compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stillhouse", type=Path, help="a checkout of Stillhouse, where it is not installed")
    parser.add_argument("--tolerance", type=float, default=0.02, help="largest relative difference of a metric (default: %(default)s)")
    options = parser.parse_args(arguments)
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    problems = file_problems(manifest["files"])
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 2
    folders: dict[str, Path] = {}  # of the runs that others build on, by their ids
    worst = 0.0
    for run in manifest["runs"]:
        document = train(run, folders, options.stillhouse)
        folders[run["id"]] = Path(document["output_dir"]).parent
        worst = max([worst, *compare(run, document)])
    print(f"Largest relative difference: {worst:.2%}, tolerance {options.tolerance:.2%}.")
    return int(worst > options.tolerance)


def file_problems(files: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the files that the recipes read: those that are missing, and those with other content."""
    found = []
    for file in files:
        path = BUNDLE / file["path"]
        if not path.is_file():
            found.append(f"{file['path']} is missing. Put the file with the SHA-256 {file['sha256']} there (it was {file['was']}).")
        elif sha256(path) != file["sha256"]:
            found.append(f"{file['path']} has the SHA-256 {sha256(path)}; {file['sha256']} was recorded.")
    return found


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def train(run: dict[str, Any], folders: dict[str, Path], checkout: Path | None) -> dict[str, Any]:
    """Run one recipe in the foreground; returns the document that the command prints. Ends the script where it fails."""
    environment = {"STILLHOUSE_HOME": str(BUNDLE / "home"), **os.environ}
    if checkout is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(checkout.resolve()), os.environ.get("PYTHONPATH", ""))))
    overrides = [word for key, (parent, part) in run["models"].items() for word in ("--set", f"{key}={folders[parent] / part}")]
    command = [sys.executable, "-m", "workbench", run["verb"], run["recipe"], "--name", run["name"], *overrides, "--json"]
    print(f"Training {run['name']}", flush=True)
    done = subprocess.run(command, cwd=BUNDLE, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def compare(run: dict[str, Any], document: dict[str, Any]) -> list[float]:
    """Print every recorded metric beside the reproduced one; returns their relative differences."""
    differences = []
    for subject, metrics in run["measured"].items():
        reproduced = (document.get("metrics") or {}).get(subject) or {}
        for name, recorded in metrics.items():
            found = reproduced.get(name)
            if found is None:
                print(f"  {subject} {name}: {recorded:.6g} recorded, not measured here")
                continue
            scale = max(abs(recorded), abs(found)) or 1.0
            differences.append(abs(recorded - found) / scale)
            print(f"  {subject} {name}: {recorded:.6g} recorded, {found:.6g} here")
    return differences


if __name__ == "__main__":
    raise SystemExit(main())
