"""The comparison with other libraries, at the size of a toy and without them: turns, tables, and contenders that end."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.peers import measuring, others, ours
from tests.benchmarks.peers.measuring import BAREST, COMMANDS, Clock, Row, measure, table
from tests.benchmarks.peers.turns import Case, Turns

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
TOY = Case(SHAPE, batch=2, length=8, steps=2, dtype="fp32", threads=1)
CONTENDERS = {**ours.CONTENDERS, **others.CONTENDERS}

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read as Linux keeps it")


def test_every_contender_has_a_command() -> None:
    assert CONTENDERS.keys() == COMMANDS.keys()
    assert {name for name, (_, module) in COMMANDS.items() if module == measuring.OURS} == ours.CONTENDERS.keys()


@pytest.mark.parametrize("name", [*ours.CONTENDERS, BAREST])
def test_a_contender_trains_in_its_turns_and_ends_after_the_last(name: str) -> None:
    said = io.StringIO()
    CONTENDERS[name](TOY, Turns(io.StringIO("1\n3\n"), said))
    ready, *turns = (json.loads(line) for line in said.getvalue().splitlines())
    assert ready == {"ready": True}
    assert len(turns) == 2
    assert all(turn["clock"] > 0 and turn["processor"] > 0 and turn["mebibytes"] > 0 for turn in turns)


def test_contenders_in_processes_of_their_own_are_measured_in_turns() -> None:
    (row,), peak = measure(TOY, [BAREST], 2, Clock("processor"))
    assert len(row.speeds) == 2 and min(row.speeds) > 0
    assert 0 < row.mebibytes < 2000
    assert peak > 0


def test_a_contender_that_ends_is_named_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", (Path(sys.executable), "tests.benchmarks.peers.nothing"))
    with pytest.raises(RuntimeError, match=r"'broken' has ended: [\s\S]*No module named"):
        measure(TOY, ["broken"], 1, Clock("wall"))


def test_speeds_are_compared_within_each_turn() -> None:
    rows = [Row("ours", (300.0, 30.0, 600.0), 10.0, 5e9), Row(BAREST, (200.0, 10.0, 500.0), 20.0, 1e9)]
    lines = table(rows, peak=3e12).splitlines()
    assert lines[2] == "| ours | 300 (30 to 600) | 1.50 (1.20 to 3.00) | 10 | 50% |"
    assert lines[3] == f"| {BAREST} | 200 (10 to 500) | 1.00 (1.00 to 1.00) | 20 | 7% |"


def test_a_table_without_the_barest_loop_compares_with_nothing() -> None:
    assert table([Row("ours", (300.0,), 10.0, 1e9)], peak=3e12).splitlines()[2] == "| ours | 300 (300 to 300) |  | 10 | 10% |"


def test_the_arithmetic_of_a_step_is_two_a_weight_forwards_and_four_backwards() -> None:
    def products(layers: int) -> int:
        model = TOY.model(layers, 0)
        return sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)  # the tied head is multiplied once

    assert TOY.flop_per_token() == 2 * products(2) + 6 * products(1)
    assert TOY.flop_per_token(teacher="head") == 2 * 64 * 32 + 6 * products(1)
    assert TOY.flop_per_token(teacher="nothing") == 6 * products(1)


def test_the_house_case_is_the_shape_of_the_house_model() -> None:
    config = json.loads((Path(measuring.ROOT) / "assets/models/house-chat/config.json").read_text())
    assert {key: config[key] for key in measuring.HOUSE} == measuring.HOUSE
