"""Silence around libraries that talk: their bars would break ours, and stdout is for results."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def no_bars() -> Iterator[None]:
    """No progress bars of transformers; its warnings stay."""
    from transformers.utils import logging as hf_logging

    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if bars:
            hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stdout, no bars, no warnings, no reports to the makers of the libraries."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import datasets
    from huggingface_hub import constants
    from transformers.utils import logging as hf_logging

    constants.HF_HUB_DISABLE_TELEMETRY = True  # read at import, which may have been before
    verbosity, mapping = hf_logging.get_verbosity(), datasets.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bar()
    trl = logging.getLogger("trl")
    level = trl.level
    trl.setLevel(logging.ERROR)
    try:
        with no_bars(), redirect_stdout(sys.stderr):
            yield
    finally:
        trl.setLevel(level)
        hf_logging.set_verbosity(verbosity)
        if mapping:
            datasets.enable_progress_bar()
