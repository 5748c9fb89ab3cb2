"""What follows from an ablation's numbers, and where it is kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from core.evaluation.statistics import t_critical
from core.recipes import parse_recipe
from core.studies.ablation import results
from core.studies.ablation.results import Ablation, folder_of, folders, load_request, result_of, save_request, table, verdicts
from core.studies.seeds import seeds_of
from core.system.files import write_json
from tests.core.ablations import result


def test_differences_are_paired_by_seed() -> None:
    """Seeds that are hard for all alike take nothing from the difference."""
    found = result()
    after, whole = (np.array(found.values[name]["cross_entropy"]) for name in ("minus_kd", "full"))
    estimate = found.difference("minus_kd", "cross_entropy")
    assert estimate.value == pytest.approx((after - whole).mean())
    assert estimate.high - estimate.value == pytest.approx(t_critical(3) * (after - whole).std(ddof=1) / math.sqrt(3))
    assert estimate.high - estimate.low < (whole.max() - whole.min()) / 2


def test_a_part_costs_something_only_where_the_interval_is_clear_of_zero() -> None:
    found = result()
    assert found.costs("minus_kd", "cross_entropy") is True and found.costs("minus_kd", "agreement") is True
    assert found.costs("minus_hard", "cross_entropy") is None
    assert found.costs("minus_hidden", "cross_entropy") is False
    single = Ablation(**{**vars_of(found), "seeds": (42,), "values": {name: {metric: each[:1] for metric, each in metrics.items()}
                                                                   for name, metrics in found.values.items()}})
    assert single.costs("random", "cross_entropy") is None and "is inconclusive, as one seed has no interval" in verdicts(single)[0]


def vars_of(found: Ablation) -> dict:
    return {name: getattr(found, name) for name in Ablation.__dataclass_fields__}


def test_json_and_back() -> None:
    found = result()
    plain = json.loads(json.dumps(found.to_dict()))
    assert Ablation.from_dict(plain) == found
    assert plain["differences"]["random"]["cross_entropy"]["value"] == pytest.approx(1.0)
    assert plain["published"]["glue_points"]["random"] == -3.69 and plain["published"]["arxiv"] == "1910.01108"


def test_the_table_has_the_published_differences_beside_ours() -> None:
    head, rows = table(result())
    assert head[1] == "held-out cross-entropy (nats/token) ↓" and "agreement ↑" in head[2] and head[-1] == "GLUE points, published"
    assert rows[0][:2] == ["the whole recipe", "3.1"] and rows[0][-1] == ""
    lines = {row[0]: row for row in rows}
    assert lines["without soft targets"][1].startswith("+0.2 ±") and lines["without soft targets"][-1] == "-2.96"
    assert lines["random initialisation"][-1] == "-3.69" and all(len(row) == len(head) for row in rows)


def test_each_verdict_says_which_way() -> None:
    said = "\n".join(verdicts(result()))
    assert "Without soft targets: held-out cross-entropy is worse (+0.2" in said
    assert "Without hidden states: held-out cross-entropy is better" in said
    assert "Without hard labels: held-out cross-entropy is inconclusive, as its interval contains 0" in said


def test_what_is_to_be_done_is_found_again() -> None:
    first, second = (parse_recipe({"name": "mine", "train": {"max_steps": steps}}) for steps in (3, 4))
    folder = save_request(first, 5)
    assert load_request(folder) == (first, seeds_of(5)) and result_of(folder) is None
    assert folder_of(second) != folder == folder_of(first) and folder.name.startswith("mine-")
    assert folders() == [folder]
    save_request(second)
    assert folders() == [folder_of(second), folder]
    write_json(folder / results.RESULT, result().to_dict())
    assert result_of(folder) == result()


def test_folders_that_this_release_cannot_read_count_as_none(home) -> None:
    broken = home / "ablations" / "old"
    write_json(broken / results.RECIPE, {"config": {"what": 1}, "seeds": 3, "noted": 1})
    write_json(broken / results.RESULT, [1])
    assert load_request(broken) is None and result_of(broken) is None
    assert load_request(home / "nothing") is None and folders() == [broken]
