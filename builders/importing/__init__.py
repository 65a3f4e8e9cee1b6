"""Traces that others wrote, into a corpus and out of it again.

read        rows of files and Hub datasets, in batches; a row that cannot be read is said to be so
recognise   which key of a row holds what
rows        typed answers, ids, reasoning apart
held        what the corpus has already, and which sample a trace is
write       the whole way in, with an account of every row
export      the way out
"""

from __future__ import annotations

from builders.importing.export import LAYOUTS, export_traces
from builders.importing.options import Options, read_map
from builders.importing.write import import_traces

__all__ = ["LAYOUTS", "Options", "export_traces", "import_traces", "read_map"]
