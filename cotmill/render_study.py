"""What `study` and `advise` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cotmill.render import table

Row = Mapping[str, Any]

FACTORS = {
    "dataset": "dataset",
    "teacher": "teacher",
    "granularity": "level",
    "format": "format",
    "control": "control",
    "student": "student",
    "size": "size",
    "objective": "objective",
}


def of_plan(plan: Row) -> str:
    """Arms over their seeds, with tokens and seconds."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for arm in plan["arms"]:
        grouped.setdefault(tuple(arm[name] for name in FACTORS), []).append(arm)
    rows = []
    for key, arms in grouped.items():
        seconds = [arm["seconds"] for arm in arms]
        rows.append(
            dict(zip(FACTORS, key, strict=True))
            | {
                "rows": arms[0]["rows"],
                "seeds": len(arms),
                "done": sum(arm["done"] for arm in arms),
                "tokens": sum(arm["tokens"] for arm in arms),
                "seconds": None if None in seconds else f"{sum(seconds):,.0f}",
            }
        )
    told = {**_varied(rows), "rows": "rows", "seeds": "seeds", "done": "done", "tokens": "tokens", "seconds": "s"}
    took = "unknown until one is done" if plan["seconds"] is None else _duration(plan["seconds"])
    return "\n".join(
        [
            f"{plan['name']}: {len(plan['arms']):,} arms, {plan['left']:,} to run",
            table(told, rows),
            f"About {plan['tokens']:,} tokens to train on; time: {took}. Both are estimates. Nothing was trained.",
            *_not_run(plan["not_run"]),
        ]
    )


def of_study(summary: Row) -> str:
    """Accuracy of each arm over its seeds, and where the report is."""
    rows = [
        {
            **row,
            "accuracy": f"{row['accuracy']:.1%}",
            "interval": f"{row['low']:.1%} to {row['high']:.1%}",
            "sd": None if row["sd"] is None else f"{100 * row['sd']:.1f}",
        }
        for row in summary["rows"]
    ]
    told = {**_varied(rows), "seeds": "seeds", "accuracy": "accuracy", "interval": "95 %", "sd": "sd of seeds"}
    return "\n".join(
        [
            f"{summary['name']}: {summary['arms']:,} arms, {summary['ran']:,} run now",
            table(told, rows),
            *_not_run(summary["not_run"]),
            f"Report: {summary['report']}\nRows: cotmill sql {summary['directory']} 'from results'",
        ]
    )


def of_advice(advice: Row) -> str:
    """The choice, what speaks for it, and what the full grid would have cost."""
    rows = [
        {
            **row,
            "pilots": row["pilots"],
            "expected": f"{row['expected']:.1%}",
            "interval": f"{row['low']:.1%} to {row['high']:.1%}",
            "best": f"{row['best']:.0%}",
        }
        for row in advice["arms"]
    ]
    told = {**_varied(rows), "pilots": "pilots", "largest": "largest pilot", "seen": "seen there"}
    told |= {"expected": "expected", "interval": "95 %", "best": "best"}
    low, high = advice["interval"]
    spent, grid = advice["tokens"], advice["grid_tokens"]
    return "\n".join(
        [
            f"Teach it: {advice['choice']}. Expected accuracy {advice['expected']:.1%} [{low:.1%}, {high:.1%}]",
            table(told, rows),
            f"{advice['chance']:.0%} sure that no other arm is more than one point better.",
            f"{spent:,} tokens in {advice['pilots']:,} pilots; the full grid would have taken {grid:,}"
            f" ({spent / grid:.0%} of it).",
        ]
    )


def _varied(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The factors that are not the same in all arms with traces, and `control` where there is one."""
    taught = [row for row in rows if not row.get("control")]
    told = {name: head for name, head in FACTORS.items() if len({row.get(name) for row in taught}) > 1}
    return {**({"control": "control"} if len(taught) < len(rows) else {}), **told}


def _not_run(not_run: list[Row]) -> list[str]:
    return [f"Not run: {one['what']} ({one['why']})" for one in not_run]


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
