"""What `cotmill publish`, `verify-published` and `diff` print for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cotmill.render import table

SHOWN: Final = 20
"""Rows of a list; all of them are in the JSON."""

Row = Mapping[str, Any]


def of_publishing(summary: Row) -> str:
    """The plan of a push, and what became of it."""
    if "out" in summary:
        return (
            f"{summary['files']:,} files, {_bytes(summary['size'])}, written to {summary['out']}; nothing was pushed."
        )
    repo = summary["repo"] if summary["revision"] == "main" else f"{summary['repo']}@{summary['revision']}"
    lines = _changes(summary)
    if "commit" not in summary:
        will = "would make no commit" if not summary["changes"] else "would make one commit"
        made = "" if summary["parent"] else ", and the repository or the branch first"
        lines.append(f"A push to {repo} ({_seen(summary)}) {will}{made}. Nothing was pushed.")
        return "\n".join([*lines, *_found(summary["found"])])
    if not summary["made"]:
        lines.append(f"{repo} holds all of it already, at {summary['commit'][:8]}; no commit was made.")
    else:
        lines.append(f"{repo} ({_seen(summary)}) is at {summary['commit'][:8]}.")
    tagged = f"Tagged {summary['tag']}. " if summary["tag"] else ""
    lines.append(f"{tagged}See {summary['url']}. Check it: cotmill verify-published {repo}")
    return "\n".join(lines)


def of_verification(found: Row) -> str:
    """Rows by config and split, then what is wrong."""
    rows = [
        {"config": config, "split": split, "rows": count}
        for config, splits in found["rows"].items()
        for split, count in splits.items()
    ]
    commit = f" at {found['commit'][:8]}" if found["commit"] else ""
    lines = [f"{found['dataset']}{commit}", table({"config": "config", "split": "split", "rows": "rows"}, rows), ""]
    looked = f"{found['files']:,} Parquet files looked at, {found['hashed']:,} checksums compared"
    lines.append(f"{looked}, {_bytes(found['size'])} in all.")
    if not found["findings"]:
        return "\n".join([*lines, "All holds."])
    wrong = [f"  {finding['where']}: {finding['problem']}" for finding in found["findings"]]
    return "\n".join([*lines, f"{len(wrong)} things do not hold:", *wrong])


def of_diff(found: Row) -> str:
    """Rows by config, the columns that changed, and the factor table."""
    rows = [
        {
            "config": config["config"],
            "a": config["rows"][0],
            "b": config["rows"][1],
            **{key: config[key] for key in ("added", "removed", "changed")},
            "columns": ", ".join(f"{name} {count:,}" for name, count in config["columns"].items()),
        }
        for config in found["configs"]
    ]
    names = {"config": "config", "a": "rows of A", "b": "rows of B", "added": "added", "removed": "removed"}
    lines = [
        f"A  {found['a']}",
        f"B  {found['b']}",
        "",
        table({**names, "changed": "changed", "columns": "in columns"}, rows),
    ]
    for config in found["configs"]:
        lines += _schema_changes(config) + _examples(config)
    if found["factors"]:
        lines += ["", _factors(found["factors"])]
    return "\n".join([*lines, *(["", "Nothing differs."] if found["same"] else [])])


def _changes(summary: Row) -> list[str]:
    changes: Sequence[Row] = summary["changes"]
    counts = Counter(change["action"] for change in changes)
    short = [{**change, "size": _bytes(change["size"])} for change in changes[:SHOWN]]
    said = ", ".join(f"{counts[action]:,} {action}" for action in ("added", "changed", "deleted") if counts[action])
    lines = [table({"action": "", "path": "file", "size": "size"}, short), ""] if changes else []
    rest = [f"... and {len(changes) - SHOWN:,} more (--json has all)"] if len(changes) > SHOWN else []
    total = (
        f"{said or 'nothing changed'}, {summary['unchanged']:,} unchanged; at most {_bytes(summary['size'])} to send."
    )
    return [*lines, *rest, total[0].upper() + total[1:]]


def _found(found: Sequence[Row]) -> list[str]:
    counts = Counter(f"{one['kind']} ({one['what']})" for one in found)
    if not counts:
        return []
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    return [f"It would be refused as it stands, for what strangers should not read: {said}. --json says where."]


def _seen(summary: Row) -> str:
    return "private" if summary["private"] else "public"


def _schema_changes(config: Row) -> list[str]:
    lines = []
    for key, what in (("new_columns", "new columns"), ("lost_columns", "columns gone")):
        if config[key]:
            lines.append(f"{config['config']}: {what}: {', '.join(config[key])}")
    if config["retyped"]:
        types = "; ".join(f"{name} {change}" for name, change in config["retyped"].items())
        lines.append(f"{config['config']}: other types: {types}")
    return lines


def _examples(config: Row) -> list[str]:
    return [f"{config['config']}: {what}, for example {', '.join(ids[:3])}" for what, ids in config["examples"].items()]


def _factors(rows: Sequence[Row]) -> str:
    columns = {"teacher": "teacher", "granularity": "level", "format": "format"}
    pairs = {"rows": ("rows", "{:,}"), "mean_tokens": ("mean tokens", "{:,.1f}"), "accuracy": ("accuracy", "{:.1%}")}
    flat = [
        {key: row[key] for key in columns}
        | {
            f"{key}.{i}": "-" if row[key][i] is None else spelt.format(row[key][i])
            for key, (_, spelt) in pairs.items()
            for i in (0, 1)
        }
        for row in rows[: 10 * SHOWN]
    ]
    heads = {f"{key}.{i}": f"{said} {side}" for key, (said, _) in pairs.items() for i, side in ((0, "A"), (1, "B"))}
    return table({**columns, **heads}, flat, "Kept rows, their mean tokens, and the accuracy of all that was judged")


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
