"""Evaluations as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotmill.render import accuracy_of, ending_of, table

if TYPE_CHECKING:
    from cotmill.render import Row


def of_evaluation(summary: Row) -> str:
    """Accuracy with its interval, and what else there is to know about the answers."""
    lines = [f"{accuracy_of(summary)}; {ending_of(summary)}"]
    for name, key in (("pass", "pass_at_k"), ("maj", "maj_at_k")):
        if summary[key]:
            shares = [f"{name}@{at['k']} {at['share']:.1%} {_between(at['interval'])}" for at in summary[key]]
            lines += [", ".join(shares)]
    for key in ("by_source", "by_difficulty"):
        column = key.removeprefix("by_")
        rows = [{**row, "share": f"{row['accuracy']:.1%} {_between(row['interval'])}"} for row in summary[key]]
        lines += ["", table({column: column, "n": "problems", "share": "correct"}, rows)] if rows else []
    if probes := summary["probes"]:
        lines += ["", _probes(probes)]
    left_out = [f"{summary[key]:,} {said}" for key, said in _NOT_ASKED.items() if summary[key]]
    overlap = [f"{count:,} of {source} were trained on (waived)" for source, count in summary["overlap"].items()]
    lines += [", ".join(left_out + overlap)] if left_out or overlap else []
    return "\n".join(lines)


_NOT_ASKED = {
    "rejected": "problems leave no room for an answer and count as wrong",
    "no_gold": "problems have no gold answer and count for nothing",
    "timeout": "answers were not judged in time and count as wrong",
}


def _probes(probes: Row) -> str:
    """How often the answer stayed the same."""
    rows = []
    for kind in ("truncated", "corrupted", "filler"):
        one = probes.get(kind)
        if one and one["problems"]:
            row = {**one, "probe": kind, "same": f"{one['same']:.1%} {_between(one['interval'])}"}
            if kind == "truncated":
                row["area"] = f"{one['area_over_curve']:.2f} {_between(one['area_interval'], '.2f')}"
            rows.append({"area": None, **row})
    columns = {"probe": "reasoning", "problems": "problems", "same": "same answer", "area": "area over curve"}
    return table(columns, rows)


def of_paired(summary: Row) -> str:
    """B against A on the same problems."""
    low, high = summary["interval"]
    lines = [
        f"A {summary['accuracy_a']:.1%}, B {summary['accuracy_b']:.1%} of {summary['n']:,} problems",
        f"B - A {summary['difference']:+.1%} [{low:+.1%}, {high:+.1%}], exact McNemar p = {summary['p']:.3g} "
        f"(only A right: {summary['only_a']:,}, only B: {summary['only_b']:,}; {summary['tested']})",
    ]
    if any(summary["left_out"]):
        lines.append(f"left out: {summary['left_out'][0]:,} problems of A alone, {summary['left_out'][1]:,} of B alone")
    if len(set(summary["engines"])) > 1:
        lines.append(f"answered by different engines ({', '.join(summary['engines'])}), which can differ by themselves")
    return "\n".join(lines)


def _between(interval: Sequence[float], form: str = ".1%") -> str:
    return f"[{interval[0]:{form}}, {interval[1]:{form}}]"
