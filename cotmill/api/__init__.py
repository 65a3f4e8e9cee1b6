"""The functions behind the commands. Each takes paths or objects and returns plain data."""

from __future__ import annotations

from cotmill.api.building import (
    check,
    export_dataset,
    export_traces,
    import_traces,
    preview,
    reformat,
    regranularize,
    run,
    sample,
)
from cotmill.api.carding import card
from cotmill.api.curating import curate, mark, passes, report, show, sql, verify
from cotmill.api.publishing import diff, publish, verify_published
from cotmill.api.students import compare, evaluate, train
from cotmill.api.studying import advise, plan_study, study

__all__ = [
    "advise",
    "card",
    "check",
    "compare",
    "curate",
    "diff",
    "evaluate",
    "export_dataset",
    "export_traces",
    "import_traces",
    "mark",
    "passes",
    "plan_study",
    "preview",
    "publish",
    "reformat",
    "regranularize",
    "report",
    "run",
    "sample",
    "show",
    "sql",
    "study",
    "train",
    "verify",
    "verify_published",
]
