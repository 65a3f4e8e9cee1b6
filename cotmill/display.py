"""What a run looks like while it runs: one live panel on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builders.sampling import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

    from training.study.arms import Arm


@contextmanager
def live(title: str) -> Iterator[Callable[[Progress], None] | None]:
    """Yield a function that shows the figures of a run; None when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    panel = Live(console=Console(stderr=True), refresh_per_second=8, transient=True)
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.12:
            shown = time.monotonic()
            panel.update(_render(title, progress))

    with panel:
        yield show


def _render(title: str, progress: Progress) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_row(f"[bold]{title}[/]", ProgressBar(total=progress.planned, completed=progress.done, width=40))
    table.add_row("traces", figures(progress))
    return table


def figures(progress: Progress) -> str:
    """The figures of a run in one line."""
    seconds = max(progress.seconds, 1e-9)
    of = f" of {progress.planned:,}" if progress.planned is not None else ""
    parts = [f"{progress.done:,}{of}", f"{progress.tokens / seconds:,.0f} tokens/s"]
    if progress.judged:
        parts.append(f"{progress.correct / progress.judged:.0%} correct")
    if progress.rejected:
        parts.append(f"{progress.rejected:,} rejected")
    if progress.unanswered:
        parts.append(f"{progress.unanswered:,} unanswered")
    if progress.planned and progress.done:
        left = (progress.planned - progress.done) * seconds / progress.done
        parts.append(f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left")
    return ", ".join(parts)


@contextmanager
def bar(title: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function that shows how many shards of a pass are done; None when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        *(progress.TextColumn("{task.description}"), progress.BarColumn()),
        *(progress.MofNCompleteColumn(), progress.TimeElapsedColumn()),
    )
    tasks: dict[str, TaskID] = {}
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def update(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(f"[bold]{title}[/] {name}", total=total)
            shown.update(tasks[name], completed=done)

        yield update


@contextmanager
def hub_bars() -> Iterator[None]:
    """Let the Hub's client show its progress bars on a terminal, and nowhere else."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def arms_bar() -> Iterator[Callable[[int, int, Arm], None] | None]:
    """Yield a function that shows which arm of a study runs; None when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        *(progress.TextColumn("[bold]{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn()),
        *(progress.TimeElapsedColumn(), progress.TextColumn("{task.fields[arm]}")),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("arms", arm="")

        def update(done: int, total: int, arm: Arm) -> None:
            shown.update(task, completed=done, total=total, arm=arm.label())

        yield update
