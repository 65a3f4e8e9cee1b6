"""What commands print for people. Numbers come in as plain data; nothing is computed here but shares."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.preview import Shown

Row = Mapping[str, Any]


def table(columns: Mapping[str, str], rows: Sequence[Row], title: str = "") -> str:
    """A plain table: `columns` maps keys to headings, numbers stand to the right with thousands marked."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for key, heading in columns.items():
        numbers = all(re.fullmatch(r"[-+0-9.,%]*", str(row.get(key) or "")) for row in rows)
        made.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(row.get(key)) for key in columns))
    buffer = io.StringIO()
    width = max(80, shutil.get_terminal_size((110, 24)).columns)
    Console(file=buffer, width=width, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip("\n")


def of_plan(plan: Row) -> str:
    """The plan of `cotmill check`."""
    columns = {
        "teacher": "teacher",
        "granularity": "level",
        "format": "format",
        "problems": "problems",
        "requests": "requests",
        "prompt_tokens": "prompt tokens",
        "most_completion_tokens": "completion tokens, at most",
    }
    skipped = "".join(f", {count:,} skipped ({reason})" for reason, count in plan["skipped"].items())
    stop = plan["stop"]
    rule = f"\nEach problem is asked until {stop['verified']} traces verify: requests are the most." if stop else ""
    if plan["calls"] < plan["requests"]:
        rule += f"\nAll levels of a problem are asked in one call: {plan['calls']:,} calls."
    rule += {
        "hidden": "",
        "shown": "\nThe teacher is shown the gold answers.",
        "retry": "\nA trace that is not correct is asked for again with the gold answer shown: at most twice as many.",
    }[plan["gold"]]
    if plan["assumed"]:
        rule += f"\nNot loaded, counted as known: {', '.join(plan['assumed'])}. Sampling reads them, and may skip rows."
    return (
        f"{plan['name']}: {plan['problems']:,} problems{skipped}\n"
        f"{table(columns, plan['arms'])}\n"
        f"{plan['requests']:,} requests, about {plan['prompt_tokens']:,} prompt tokens and at most "
        f"{plan['most_completion_tokens']:,} completion tokens.{rule}\n"
        "Prompt tokens are estimated at 4 characters each. Nothing was asked, nothing was written."
    )


def of_preview(preview: Row) -> str:
    """Some traces, each with its prompt's last turn."""
    parts = []
    for row in preview["rows"]:
        how = f"{', gold shown' if row.get('gold_shown') else ''}{', joint call' if row.get('call_id') else ''}"
        head = f"── {row['teacher']}, level {row['granularity'] or '-'}, {row['format']}{how}: {row['status']}"
        text = row.get("response") or row.get("error") or ""
        parts.append(f"{head}\n{row['messages'][-1]['content']}\n▸ {text.strip()}\n  gold: {row['gold']}")
    return "\n\n".join(parts)


def of_sampling(summary: Row) -> str:
    """One paragraph about a sampling run, and how to go on."""
    lines = [
        f"{summary['sampled']:,} traces sampled ({summary['held']:,} were there), "
        f"{summary['tokens']:,} tokens in {summary['seconds']:,.1f} s ({summary['tokens_per_s']:,.0f} tokens/s)"
    ]
    if summary["judged"]:
        share = summary["correct"] / summary["judged"]
        lines[0] += f", {share:.0%} correct"
    if summary["rejected"]:
        lines.append(f"{summary['rejected']:,} were rejected by the teacher: status = 'rejected' says why.")
    if summary["unanswered"]:
        lines.append(
            f"{summary['unanswered']:,} got no answer ({summary['why_unanswered']}); they are listed in "
            f"{summary['corpus']}/unanswered.jsonl.\nThe same command asks for them again."
        )
    if summary["interrupted"]:
        lines.append("Interrupted: what is finished is saved. The same command goes on from here.")
    return "\n".join(lines)


def of_import(summary: Row) -> str:
    """What became of every row, source by source."""
    columns = {
        "source": "source",
        "granularity": "level",
        "format": "format",
        "response_key": "trace under",
        "rows": "rows",
        "imported": "imported",
        "held": "were there",
        "duplicated": "repeated",
        "without_response": "empty",
        "without_gold": "no gold",
        "left_out": "left out",
    }
    rows = [
        {**row, "source": row["source"].rsplit("/", 1)[-1], "left_out": sum(row["unimported"].values())}
        for row in summary["by_source"]
    ]
    lines = [
        table(columns, rows),
        f"{summary['rows']:,} rows, {summary['imported']:,} traces imported into {summary['corpus']} "
        f"({summary['held']:,} were there, {summary['duplicated']:,} repeat an earlier row), "
        f"{summary['new_problems']:,} new problems",
    ]
    if summary["problems_only"]:
        lines.append(f"{summary['problems_only']:,} rows are problems without a place for a trace.")
    for key, count in summary["misplaced"].items():
        lines.append(f"{count:,} traces lay under {key!r}, not where the others of their file do.")
    lines += [f"{count:,} {note}" for note, count in summary["notes"].items()]
    if summary["unimported"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["unimported"].items())
        lines.append(f"Left out: {reasons}. Every one is listed in {summary['unimported_file']}")
    return "\n".join(lines)


def of_export(summary: Row) -> str:
    """Where the file is."""
    return f"{summary['rows']:,} traces written to {summary['file']} ({summary['layout']})"


def of_dataset_export(summary: Row) -> str:
    """The files and their rows."""
    rows = [{"file": name, "rows": count} for name, count in summary["files"].items()]
    return f"{summary['out']} ({summary['to']})\n" + table({"file": "file", "rows": "rows"}, rows)


def of_conversion(summary: Row) -> str:
    """What became of the sources of each conversion."""
    rows, lines = [], []
    for one in summary["conversions"]:
        target = one["format"] or f"level {one['level']}"
        rows.append({**one, "target": target, "without_child": sum(one["without"].values())})
        name = f"{one['how']} to {target}"
        if one["without"]:
            lines.append(f"{name}, without a child: {_counted(one['without'])}")
        if one.get("reasons"):
            lines.append(f"{name}, guards against a rewrite: {_counted(one['reasons'])}")
        if one.get("unanswered"):
            lines.append(f"{name}: {one['unanswered']:,} got no answer ({one['why_unanswered']}); run it again.")
    columns = {"how": "how", "target": "to", "sources": "sources", "made": "made", "held": "there before"}
    if any("passed" in one for one in rows):
        columns |= {"passed": "pass the guards", "failed": "no try passes"}
    head = f"{summary['added']:,} traces added to {summary['corpus']}"
    if summary["guards"]:
        lines.append(f"Guards, over all converted traces: {_counted(summary['guards'])}")
    if summary["interrupted"]:
        lines.append("Interrupted: what is finished is saved. The same command goes on from here.")
    return "\n".join([head, table(columns | {"without_child": "without a child"}, rows), *lines])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def of_marking(summary: Row) -> str:
    """What each pass did, and the rows that it could not mark."""
    columns = {
        "pass": "pass",
        "shards": "shards marked",
        "found": "found",
        "seconds": "seconds",
        "failed": "failed rows",
    }
    rows = [
        {
            "pass": name,
            "shards": count,
            "found": summary["reused"][name],
            "seconds": f"{summary['seconds'][name]:.1f}",
            "failed": summary["failed"].get(name),
        }
        for name, count in summary["computed"].items()
    ]
    failures = [
        f"{name} could not mark {failure['trace_id']}: {failure['error']}"
        for name, found in summary["failures"].items()
        for failure in found
    ]
    return "\n".join([f"{summary['rows']:,} traces marked", table(columns, rows), *failures])


def of_verdicts(summary: Row) -> str:
    """How many traces of each arm have which verdict."""
    verdicts = ("correct", "incorrect", "unparseable", "timeout", "no_gold")
    told = [verdict for verdict in verdicts if any(row.get(verdict) for row in summary["arms"])]
    columns = {"teacher": "teacher", "granularity": "level", "format": "format", **{v: v for v in told}}
    return f"{summary['rows']:,} traces\n{table(columns, summary['arms'])}"


def of_passes(summary: Row) -> str:
    """Each pass in a paragraph."""
    parts = []
    for said in summary["passes"]:
        lines = [f"{said['pass']}{'  (needs all traces)' if said.get('whole_corpus') else ''}", f"  {said['does']}"]
        if given := said.get("parameters"):
            lines.append("  parameters: " + ", ".join(f"{key}={value}" for key, value in given.items()))
        lines += [f"  marks: {', '.join(said.get('marks', ()))}"] if said.get("marks") else []
        lines += [f"  {key}: {said[key]}" for key in ("source", "cost") if said.get(key)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def of_show(summary: Row) -> str:
    """Traces with their marks, the words that made them in brackets."""
    from cotmill.showing import bracketed

    parts = [f"{summary['pass']}: traces where {summary['where']}"]
    for row in summary["rows"]:
        level = f" level {row['granularity']}" if row["granularity"] is not None else ""
        lines = [f"{row['trace_id']}  {row['teacher']}{level} {row['format'] or ''}".rstrip()]
        lines.append(f"  question  {bracketed(row['question'] or '', row['spans'], 'question')}")
        lines.append(f"  gold      {row['gold']}")
        after = _indented(bracketed(row["text"] or "", row["spans"], "text"))
        if row["before"] is None:
            lines.append(f"  trace     {after}")
        else:
            lines += [f"  before    {_indented(row['before'])}", f"  after     {after}"]
        marks = row["marks"] or {}
        lines += [f"  {mark}: {value}" for mark, value in marks.items() if value not in (None, False, [])]
        lines += [f"  {span['mark']}: {span['note']}" for span in row["spans"] if span["note"]]
        parts.append("\n".join(lines))
    if not summary["rows"]:
        parts.append("None.")
    return "\n\n".join(parts)


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n" + " " * 12)


def of_curation(summary: Row) -> str:
    """How many rows went in, were kept, and were removed for which reason."""
    removed = ", ".join(f"{reason} {count:,}" for reason, count in summary["removed"].items()) or "none"
    lines = [
        f"{summary['rows']:,} traces: {summary['kept']:,} kept, "
        f"{summary['rows'] - summary['kept']:,} removed ({removed})"
    ]
    if pairs := summary.get("pairs"):
        lines.append(f"{sum(pairs.values()):,} preference pairs ({_counted(pairs)})")
    if short := summary.get("shortfall"):
        lines.append(f"The mixture lacks {sum(short.values()):,} traces ({_counted(short)})")
    for name, values in summary.get("renamed", {}).items():
        lines.append(f"The config of {values} is `{name}`: another one has a claim to the plain name")
    if overlaps := summary.get("overlaps"):
        lines.append(f"{overlaps:,} questions are in two splits, or in train though held out; it was allowed")
    return "\n".join([*lines, f"Load it: datasets.load_dataset({summary['dataset']!r})"])


def of_report(summary: Row) -> str:
    """The teachers side by side, and where the rest is."""
    columns = {
        "teacher": "teacher",
        "granularity": "level",
        "format": "format",
        "rows": "rows",
        "verified": "verified",
        "agreement": "agree",
        "words": "words",
        "detail": "detail",
        "distinct_2": "dist-2",
        "defective": "defects",
        "cost": "cost",
    }
    defects = ("no_answer_line", "conflicting_answers", "bare", "glued", "latex_damage", "truncated", "empty")
    rows = [
        {
            **arm,
            **{key: None if arm[key] is None else f"{arm[key]:.1%}" for key in ("verified", "agreement")},
            "words": None if arm["words"] is None else f"{arm['words']:.1f}",
            **{key: None if arm[key] is None else f"{arm[key]:.2f}" for key in ("detail", "distinct_2")},
            "defective": sum(arm[name] for name in defects),
        }
        for arm in summary["arms"]
    ]
    shown = {key: name for key, name in columns.items() if any(row[key] is not None for row in rows)}
    return (
        f"{summary['rows']:,} traces of {summary['problems']:,} problems\n{table(shown, rows)}\n"
        f"All tables and pictures: {summary['report']}"
    )


def of_training(summary: Row) -> str:
    """What was trained on, how the loss moved, where the model is."""
    left_out = "".join(f"; {count:,} left out ({why})" for why, count in summary["left_out"].items())
    return (
        f"{summary['rows']:,} rows, {summary['steps']:,} steps, loss {_cell(summary['first_loss'])} -> "
        f"{_cell(summary['last_loss'])} in {summary['seconds']:,.0f} s "
        f"({summary['tokens_per_s']:,.0f} tokens/s){left_out}\nModel: {summary['model']}"
    )


def of_training_preview(shown: Shown, *, colour: bool = False) -> str:
    """Rows as a student meets them, what carries loss marked, and what there is to know about all of them."""
    rows = [
        f"--- row {number} of {shown.total:,}: {len(row.ids)} tokens, {sum(row.trained)} in the loss\n"
        + (row.coloured() if colour else str(row))
        for number, row in enumerate(shown.rows, 1)
    ]
    notes = [f"note: {note}" for note in shown.notes]
    left_out = [f"{count:,} rows left out ({why})" for why, count in shown.left_out.items()]
    total = (
        f"{shown.objective}: {shown.total:,} rows, {shown.tokens:,} tokens in an epoch,"
        f" {shown.trained_tokens:,} in the loss"
    )
    return "\n".join([*rows, *notes, *left_out, total])


def of_run(summary: Row) -> str:
    """The tables a run ends with."""
    levels = {
        "granularity": "level",
        "sampled": "sampled",
        "correct": "correct",
        "share": "",
        "kept": "kept",
        "tokens": "tokens",
    }
    rows = [{**r, "share": _share(r["correct"], r["sampled"])} for r in summary["by_level"]]
    speed = summary["sampling_tokens_per_s"]  # None: all traces were there, from a run that left no summary
    title = f"Traces by level ({summary['engine']}{'' if speed is None else f', {speed:,.0f} tokens/s'})"
    parts = [
        table(levels, rows, title),
        f"{summary['traces']:,} traces, {summary['kept']:,} kept",
    ]
    if summary.get("train"):
        parts.append(f"Training: {of_training(summary['train'])}")
    if summary.get("eval_before"):
        for name in ("before", "after"):
            one = summary[f"eval_{name}"]
            parts += [f"{name.capitalize():<7} {accuracy_of(one)}; {ending_of(one)}"] if one else []
    if change := summary.get("change"):
        low, high = change["interval"]
        parts.append(
            f"Change  {change['difference']:+.1%} [{low:+.1%}, {high:+.1%}] on the same problems, "
            f"exact McNemar p = {change['p']:.3g}"
        )
    parts.append(f"{summary['seconds']:,.0f} s in all; everything is in {summary['directory']}")
    return "\n\n".join(parts[:2]) + "\n\n" + "\n".join(parts[2:])


def _share(part: int | None, whole: int) -> str:
    return "-" if part is None else f"{part / max(whole, 1):.0%}"


def accuracy_of(one: Row) -> str:
    """Accuracy with its interval."""
    low, high = one["interval"]
    return f"{one['accuracy']:.1%} correct [{low:.1%}, {high:.1%}] of {one['n']:,}"


def ending_of(one: Row) -> str:
    """How answers end, and how long they are."""
    return (
        f"{one['unparseable_share']:.0%} unparseable, {one['truncated_share']:.0%} truncated, "
        f"{one['mean_tokens']:.0f} tokens an answer"
    )


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
    return str(value)
