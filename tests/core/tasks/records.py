"""Labelled records, and files of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def lines(path: Path, records: list[dict]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def table(path: Path, records: list[dict]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return str(path)


def reviews(count: int = 40, labels: tuple = ("bad", "good")) -> list[dict]:
    return [{"review": f"Text number {number}.", "sentiment": labels[number % len(labels)]} for number in range(count)]
