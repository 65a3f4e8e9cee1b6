"""Names of the files of an evaluation."""

from __future__ import annotations

from typing import Final

DONE: Final = "evaluation.json"
RESULTS: Final = "results.parquet"
PROBES: Final = "probes.parquet"
