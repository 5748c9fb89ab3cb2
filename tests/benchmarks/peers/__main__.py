"""Measure distillation by several libraries in one run, in turns, and print one table.

    make bench-peers                                     all cases; TRL in an environment of its own, .venv-peers
    make bench-peers ARGS="house --clock processor"      one case, in seconds of the processor, for a machine that others use too
"""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import replace
from datetime import date

import torch

from core.system.devices import devices, resolve_precision
from tests.benchmarks.peers.measuring import CASES, COMMANDS, PYTHON_PEERS, Clock, measure, table
from tests.benchmarks.table import ROOT


def main(arguments: list[str] | None = None) -> None:
    """Print the table of the cases named, of all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="turns of each contender (default: 5)")
    parser.add_argument("--steps", type=int, metavar="N", help="of a turn (default: as each case has it)")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of the products")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each contender (default: as torch has it)")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what seconds are of")
    parser.add_argument("--without", action="append", default=[], choices=list(COMMANDS), help="a contender that is left out")
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"{', '.join(sorted(unknown))}: one of {', '.join(CASES)} was expected")
    names = [name for name in COMMANDS if name not in options.without]
    if any(COMMANDS[name][0] == PYTHON_PEERS for name in names) and not PYTHON_PEERS.exists():
        parser.error(f"{PYTHON_PEERS.relative_to(ROOT)} is not there: `make bench-peers` makes it")
    chosen = resolve_precision(options.precision, torch.device("cpu"))
    dtype, clock = "bf16" if chosen == torch.bfloat16 else "fp32", Clock(options.clock)
    torch.set_num_threads(options.threads)
    for name in options.cases or CASES:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        case = CASES[name](dtype, options.threads)
        case = replace(case, steps=options.steps or case.steps)
        rows, peak = measure(case, names, options.pairs, clock)
        shape = case.config
        print(f"\n{name}: teacher of {shape['num_hidden_layers']} blocks of width {shape['hidden_size']}, student of half of them, "
              f"vocabulary {shape['vocab_size']:,}, {case.batch} blocks of {case.length} tokens; products in {dtype}, "
              f"{options.threads} threads, peak {peak / 1e9:.0f} GFLOP/s; {clock.words}\n")
        print(table(rows, peak))
    print(f"\n{date.today()}, {devices()[-1].description}, {platform.system()}, torch {torch.__version__}, TRL {_trl()}; medians of "
          f"{options.pairs} turns with their ranges")


def _trl() -> str:
    pins = (ROOT / "requirements-peers.txt").read_text().split()
    return next(pin.removeprefix("trl==") for pin in pins if pin.startswith("trl=="))


if __name__ == "__main__":
    main()
