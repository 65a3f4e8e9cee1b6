r"""Cut a trace into steps, without losing a byte: the places where one step ends and the next begins.

A step is a sentence, a list item, a line, or a line of display maths, with the white space behind
it. The text is never rewritten: a copy of equal length is masked and marked, the marks give
offsets, and the offsets cut the text as it came. Everything is regular expressions over whole
columns, so a million traces cost no Python.

What ends a step:
- a run of line ends, unless the next line goes on with a relation (`290 / 2` / `= 145`);
- `.`, `!`, `?` or an ellipsis, with closing quotes and brackets, before white space, unless the next
  word is in lower case; `。！？؟۔।` with or without white space;
- a sentence glued to the next (`apples.Then`) and a list number glued to the text before it
  (`groups.3. When`). In `145.5. To` the 5 is a list number only if an item 4 stands before it;
- `<think>` and `</think>`, and `Step 3:` in mid-line.

Nothing is cut inside `$...$`, `\(...\)`, `\[...\]`, LaTeX environments and code, nor behind an
abbreviation, an initial, a list number or a decimal point. A list number that replaced the full stop
before it (`= 1452. Then`) cannot be told from a longer number and is not found.
"""

from __future__ import annotations

from typing import Final

import polars as pl

HARD: Final = "\x1e"
"""Stands, in the marked copy, where a step ends."""
SOFT: Final = "\x1f"
"""The same, after a full stop: taken back when the next word shows that the sentence goes on."""
ITEM: Final = "\x1d"
"""Replaces the full stop, colon or bracket of a list number, which ends nothing."""
GLUED: Final = "\x1c"
"""The same, where the list number stuck to the number before it: `145.5.` reads as one number."""
BLANK: Final = "%"
"""Replaces what is protected, character by character. Neither a letter, a digit nor a mark of its own."""

_ENVIRONMENTS = (
    *("equation", "align", "gather", "multline", "eqnarray", "split", "aligned", "gathered", "alignat", "alignedat"),
    *("array", "cases", "matrix", "pmatrix", "bmatrix", "vmatrix", "tabular"),
)
PROTECTED: Final = (
    r"(?s)```.*?(?:```|\z)|`[^`\n]+`|\$\$.+?\$\$|\\\[.*?\\\]|\\\(.*?\\\)|"
    + "|".join(rf"\\begin\{{{name}\*?\}}.*?\\end\{{{name}\*?\}}" for name in _ENVIRONMENTS)
    + r"|\\begin\{[a-zA-Z]+\*?\}.*?\\end\{[a-zA-Z]+\*?\}"
    # As Pandoc reads a dollar sign: no blank inside it, no digit behind it. Or it is money.
    + r"|\\[$`]|\$(?:[^\s$<.,;:!?)\\]|\\[^\s(\[]|<[^\s<$])(?:(?:[^$\n\\]|\\.)*?[^\s$\\])?\$(?:[^0-9]|\z)"
)
"""Leftmost first: an environment is named before the fallback, so that an inner one does not end it."""

_TITLES = r"Mr|Mrs|Ms|Dr|Drs|Prof|St|Sgt|Capt|Lt|Gen|Rev|Hon|Messrs|Mt|Ft"
_ALWAYS = r"vs|approx|cf|viz|resp|et al|i\.e|e\.g|a\.k\.a|w\.r\.t"
_NUMBERED = r"No|Nos|Fig|Figs|Eq|Eqs|Eqn|Sec|Ch|Vol|Thm|Lem|Def|Prop|Cor|Ex|Ref|Art|Tab|pp?"
_MONTHS = r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
ABBREVIATION: Final = (
    rf"((?-u:\b)(?:{_TITLES}|(?i:{_ALWAYS})))\.(\s)"
    rf"|((?-u:\b)(?:(?i:{_NUMBERED})|{_MONTHS}))\.(\s*[0-9(#])"
)
"""`No.` and `p.` only before a number: `No. The answer is 5.` is a sentence."""
INITIALS: Final = r"((?-u:\b)\p{Lu})\.(\s\p{Lu})\.(\s)"
MORE_INITIALS: Final = rf"({BLANK}\s\p{{Lu}})\.(\s)"
NAMED: Final = r"((?-u:\b)\p{Lu}\p{Ll}+\s\p{Lu})\.(\s\p{Lu}\p{Ll})"
"""A single initial between two names: `John F. Kennedy`."""
NO_NAME: Final = (
    r"((?-u:\b)(?:Option|Choice|Answer|Statement|Case|Point|Part|Figure|Group|Class|Team|Box|Bag|Line|Angle|Player|Person"
    rf"|Train|Car|City|Plan|Set|Item|Letter|Grade|Type|Store|Shop|Machine|Pipe|Vitamin)\s\p{{Lu}})({ITEM})"
)
OPENER: Final = rf"{ITEM}(\s(?:The|So|Then|Therefore|Thus|Hence|It|This|That|We|He|She|They|In|If|But|And|Now|Next)\b)"
"""What makes `Option B. The` two sentences all the same."""

LINE_ITEM: Final = r"(?m)^([\s>#*•–-]*\(?[0-9]{1,3})[.)]((?:\*\*|__)?(?:\s|\p{L}|$))"
STEP_ITEM: Final = r"((?-u:\b)[Ss][Tt][Ee][Pp]\s[0-9]{1,3})\s?[.:)]"
STEP_INLINE: Final = rf"([^\s#*_>•–{ITEM}-][^\S\n]+)((?:#+\s*)?(?:\*\*|__)?(?:Step|STEP)\s[0-9]{{1,3}}\s?{ITEM})"
FIRST_ITEM: Final = r"(:\s*)(\(?1)[.)]((?:\*\*|__)?\s*\p{L})"
"""Behind a colon only a list's first number counts: `the total is: 7. So` ends a sentence."""
NEXT_ITEM: Final = r"([.!?;][\"')\]*”]*\s+)(\(?[0-9]{1,2})[.)](\s)"
GLUED_ITEM: Final = r"([\p{L}%)\]”\"'][.:;!?]+)(\(?[0-9]{1,2})[.)](\s)"
GLUED_BULLET: Final = r"([\p{L}%)\]”\"'][.:;!?]+)([-•–]\s\S)"
NUMBER_THEN_ITEM: Final = r"[0-9]\.[0-9]{1,2}[.)]\s*\p{Lu}"
LAST_GLUED: Final = 20
"""Highest list number that is looked for behind a number."""

_CLOSERS = "[\"'’”»)\\]}*_]*"
LINE_END: Final = r"\n\s*|[。！？｡؟۔।]+[」』）》”’\"')\]]*\s*|</think>\s*|<br\s*/?>\s*"
SENTENCE_END: Final = rf"[^\s.!?…][.!?…]+{_CLOSERS}\s+"
GLUED_END: Final = r"([\p{Ll}0-9%)\]”\"][.!?…]+)(\p{Lu}[\p{Ll}\s'’])"
GOES_ON: Final = rf"{SOFT}(\p{{Ll}}[\p{{Ll}}'’-]|a\s|[,;:)\]}}=≈+×÷/^<>≤≥|])"
LINE_GOES_ON: Final = rf"{HARD}([=≈≤≥])"


def mark_ends(frame: pl.LazyFrame, text: str, into: str) -> pl.LazyFrame:
    """Add a copy of each text with `HARD` wherever a step ends, save at its very end.

    Without its marks the copy is as long as the text, in characters. What stands between them is for
    counting alone: protected spans are blanked, the marks of list numbers replaced by `ITEM` or `GLUED`.

    Args:
        frame: holds the column `text`, String; null stays null.
        text: the column to read.
        into: the column to add.
    """
    copy = pl.col(into)
    frame = frame.with_columns(pl.col(text).str.replace_all(f"[{GLUED}{ITEM}{HARD}{SOFT}]", BLANK).alias(into))
    # One stage after the other: in one expression, each use of a stage would compute those before it again.
    for stage in (_protect, _abbreviations, _initials, _list_numbers, _glued_numbers, _sentences, _tidy):
        frame = frame.with_columns(stage(copy))
    return frame


def ends(marked: pl.Expr) -> pl.Expr:
    """List(Int32): for each step the number of characters up to its end, counted from the text's start.

    Args:
        marked: what `mark_ends` gave. A text of nothing but white space has no steps, and an empty list.
    """
    lengths = marked.str.split(HARD).list.eval(pl.element().str.len_chars().cast(pl.Int32).cum_sum())
    return pl.when(is_blank(marked)).then(pl.lit([], pl.List(pl.Int32))).otherwise(lengths)


def is_blank(text: pl.Expr) -> pl.Expr:
    """Boolean: nothing but white space."""
    return ~text.str.contains(r"\S")


def _protect(text: pl.Expr) -> pl.Expr:
    """With everything that must not be cut blanked."""
    # Null where there is nothing to protect, as nearly everywhere: null costs nothing.
    holding = pl.when(text.str.contains(PROTECTED)).then(text)
    piece = pl.element()
    span = piece.str.contains(r"(?s)^[$`\\].") & (piece.str.len_bytes() > 1)
    # A dollar span took the next character along, to see that it is no digit: that one stays.
    seen = piece.str.contains(r"(?s)^\$[^$].*[^$]\z")
    kept = pl.when(seen).then(piece.str.tail(1)).otherwise(pl.lit(""))
    blanked = pl.when(seen).then(piece.str.head(-1)).otherwise(piece).str.replace_all(r"(?s).", BLANK)
    pieces = holding.str.extract_all(rf"{PROTECTED}|[^$`\\]+|(?s:.)")
    masked = pieces.list.eval(pl.when(span).then(blanked + kept).otherwise(piece)).list.join("")
    return pl.coalesce(masked, text)


def _abbreviations(text: pl.Expr) -> pl.Expr:
    """With the full stops of abbreviations and of several initials blanked."""
    return (
        text.str.replace_all(ABBREVIATION, f"${{1}}${{3}}{BLANK}${{2}}${{4}}")
        .str.replace_all(INITIALS, f"${{1}}{BLANK}${{2}}{BLANK}${{3}}")
        .str.replace_all(MORE_INITIALS, f"${{1}}{BLANK}${{2}}")
    )


def _initials(text: pl.Expr) -> pl.Expr:
    """With the full stop of a single initial between two names blanked."""
    named = pl.when(text.str.contains(NAMED)).then(text).str.replace_all(NAMED, f"${{1}}{ITEM}${{2}}")
    told_apart = named.str.replace_all(NO_NAME, "${1}.").str.replace_all(OPENER, ".${1}")
    return pl.coalesce(told_apart.str.replace_all(ITEM, BLANK, literal=True), text)


def _list_numbers(text: pl.Expr) -> pl.Expr:
    """With the marks of list numbers replaced, and `HARD` before those in mid-line."""
    return (
        text.str.replace_all(LINE_ITEM, f"${{1}}{ITEM}${{2}}")
        .str.replace_all(STEP_ITEM, f"${{1}}{ITEM}")
        .str.replace_all(NEXT_ITEM, f"${{1}}${{2}}{ITEM}${{3}}")
        .str.replace_all(FIRST_ITEM, f"${{1}}{HARD}${{2}}{ITEM}${{3}}")
        .str.replace_all(GLUED_ITEM, f"${{1}}{HARD}${{2}}{ITEM}${{3}}")
        .str.replace_all(GLUED_BULLET, f"${{1}}{HARD}${{2}}")
        .str.replace_all(STEP_INLINE, f"${{1}}{HARD}${{2}}")
    )


def _glued_numbers(text: pl.Expr) -> pl.Expr:
    """With list numbers found behind other numbers, each only behind the list number before it."""
    doubtful: pl.Expr = pl.when(text.str.contains(NUMBER_THEN_ITEM)).then(text)
    for number in range(2, LAST_GLUED + 1):
        before = rf"(?s)((?:^|[^0-9.]){number - 1}[{ITEM}{GLUED}].*?[0-9]\.)"
        doubtful = doubtful.str.replace(rf"{before}{number}[.)](\s*\p{{Lu}})", f"${{1}}{HARD}{number}{GLUED}${{2}}")
    return pl.coalesce(doubtful, text)


def _sentences(text: pl.Expr) -> pl.Expr:
    """With marks wherever a line or a sentence may end."""
    return (
        text.str.replace_all(LINE_END, f"${{0}}{HARD}")
        .str.replace_all("<think>", f"{HARD}<think>", literal=True)
        .str.replace_all(SENTENCE_END, f"${{0}}{SOFT}")
        .str.replace_all(GLUED_END, f"${{1}}{HARD}${{2}}")
    )


def _tidy(text: pl.Expr) -> pl.Expr:
    """One kind of mark, never two in a row, none where a step goes on, at the start or at the end."""
    return (
        text.str.replace_all(f"[{SOFT}{HARD}]{{2,}}", HARD)
        .str.replace_all(GOES_ON, "${1}")
        .str.replace_all(LINE_GOES_ON, "${1}")
        .str.replace_all(SOFT, HARD, literal=True)
        .str.replace_all(f"{HARD}</think>", "</think>", literal=True)
        .str.replace_all(rf"(<think>\s*){HARD}", "${1}")
        .str.replace(rf"^(\s*){HARD}", "${1}")
        .str.strip_suffix(HARD)
    )
