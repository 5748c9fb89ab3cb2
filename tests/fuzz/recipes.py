"""Recipes that nobody should write, as text and as settings."""

from __future__ import annotations

import json
import random
from pathlib import Path

from core.config.fields import leaves
from core.planning.plan import static_plan
from core.recipes import apply_overrides, parse_recipe, parse_yaml

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "assets" / "recipes").glob("*.yaml"))
SCALARS = (
    "2026-02-31", "2026-13-45 25:61:61", "!!int abc", "!!float x", "!!bool 7", "!!null 5", "!!binary abc", "!!timestamp 2026-99-99",
    "0b_", "0x_", "0o99", "1:99:99", '"\\UFFFFFFFF"', '"\\ud83d"', '"\\0"', "9" * 5000, "-" + "9" * 200, "0x" + "f" * 90, "1e999",
    "-1e999", ".inf", ".nan", "1e308", "1000000000", "1000000000000000000", "-1", "0", "0.0", "1e-320", "~", "yes", "''", "' '", "[]",
    "{}", "[[]]", "[1, 2, 3]", "{a: 1}", "&a [*a]", "*x", "&x 1", "!!python/object/apply:os.system [id]", "!!set {a}", "!!omap [a: 1]",
    "!mine 1", "? [1]\n: 2", "|", ">-", "%", "@", "`", "a: b", "- 1", "#", "''", "'", '"', "\\", "\t", "\ufeff", "\0", "\x85", "\u2028",
    "\ud800", "😀", "x" * 5000, "../../etc/passwd", "/dev/zero", "/dev/stdin", "a/b", "a\tb", "con", ".", "..", "~", "~root",
    "file:///etc/passwd", "[" * 3000, "{a: " * 100, "- " * 100, "? " * 100, "[" + "1, " * 12000 + "1]", "<<", "=", "auto", "house",
    "cuda:99999999999", "table", "importance", "first", "true",
)
LINES = (
    "<<: *x", "<<: {a: 1}", "~: 1", "2026-01-01: 1", "[1]: 2", "{a: 1}: 2", "? [a]\n: b", "1: 2", "true: 1", "a: &a [*a]", "--- ", "...",
    "%YAML 9.9", "%TAG ! tag:x:", "\t- 1", "kind: [1]", "kind: {}", "kind: distill", "kind: chain", "kind: pretrain", "kind: bridge",
    "kind: fine_tune", "chain: {anchors: [{layers: 1}]}", "chain: {anchors: [1]}", "chain: {anchors: {}}", "bridge: {model: house-chat}",
    "task: {}", "task: 1", "teacher: null", "teacher: 5", "student: {fresh: {layers: 1000000000}}",
    "student: {fresh: {}, from_scratch: {}}", "losses: 5", "losses: []", "losses: {w_kd: {start: 1}}",
    "losses: {w_kd: {start: 1e30, end: 1e30}}", "data: {source: /dev/zero}", "evaluation: {prompts: abc}", "control: 3",
    "evaluation: {retention: {tasks: [a, a]}}", "student: {layer_map: [5, 4]}", "student: {lora: {rank: 1000000}}", "name: 5", "name: ''",
)


def text(seed: int) -> str:
    """Return a recipe: a shipped one or a few settings, with a few parts of it replaced."""
    draw = random.Random(seed)
    lines = draw.choice(SHIPPED).read_text(encoding="utf-8").splitlines() if draw.random() < 0.6 else []
    for _ in range(draw.randint(0 if lines else 1, 3)):
        if lines and draw.random() < 0.4:
            place = draw.randrange(len(lines))
            key, separator, _ = lines[place].partition(":")
            lines[place] = f"{key}{separator} {draw.choice(SCALARS)}"
        elif draw.random() < 0.5:
            lines.insert(draw.randint(0, len(lines)), draw.choice(LINES))
        else:
            path, _ = draw.choice(LEAVES)
            lines.append(_nested(path, draw.choice(SCALARS)))
    whole = "\n".join(lines)
    for _ in range(draw.choice((0, 0, 0, 1, 3))):
        place = draw.randint(0, len(whole))
        inserted = draw.choice("{}[]:,&*!?|>'\"%@#-\n\t \\\0\ufeff\x85") * draw.choice((1, 1, 2, 40))
        whole = whole[:place] + inserted + whole[place + draw.randint(0, 2):]
    return "\ufeff" + whole if draw.random() < 0.05 else whole


def settings(seed: int) -> list[str]:
    """Return settings as ``--set`` and a link take them."""
    draw = random.Random(seed)
    paths = [*(path for path, _ in LEAVES), *FURTHER]
    return [f"{draw.choice(paths)}{draw.choice(('=', '=', '=', '=', '', ' = '))}{draw.choice(SCALARS)}" for _ in range(draw.randint(1, 3))]


LEAVES = list(leaves())
FURTHER = ("chain", "chain.anchors", "bridge", "bridge.model", "task.x", "kind", "a.b.c", "." * 40, "", "=", "name.x", "name]]",
           "student.fresh.layers", "student.fresh", "losses.w_kd.start", "evaluation.retention.seeds", "teacher")


def _nested(path: str, value: str) -> str:
    sections = path.split(".")
    return "".join(f"{'  ' * depth}{name}:{chr(10) if depth + 1 < len(sections) else ' '}" for depth, name in enumerate(sections)) + value


def answer(seed: int) -> str:
    """Read recipe number `seed` as a file, a link or an upload is read, plan it and write it out. Raises StillhouseError."""
    plain = parse_yaml(text(seed), "recipe.yaml") if seed % 3 else {}
    config = parse_recipe(apply_overrides(plain, settings(seed)) if seed % 3 != 1 else plain)
    assert parse_recipe(parse_yaml(config.to_yaml(), "again")) == config
    json.dumps(config.to_dict())
    return f"{config.digest()} {static_plan(config).fits}"
