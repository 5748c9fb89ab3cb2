"""What every corpus is read into.

A row is one of

    {"text": str}
    {"messages": [{"role": "system" | "user" | "assistant", "content": str}, ...]}
    {"prompt": str, "completion": str}

and may carry ``"weight"``: how much a token of its answer counts in the loss (1 when absent).
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
Located = tuple[str, Row]  # the words by which messages name a row, as "'reviews.csv', line 7", and the row
