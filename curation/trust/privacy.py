r"""Personal data and secrets in what a trace says, by their shape and, where they have one, their checksum.

One cheap search over all texts finds the few that hold anything of such a shape; those are read one by one. Word
problems are full of numbers, so a number must be written as what it is taken for, pass its checksum, and be no part of
a sum. Not here: names, addresses and dates of birth, which have no shape; and removing anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import polars as pl

from curation.engine.gates import judged
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

_NO_SUM_BEFORE: Final = r"(?<![0-9A-Za-z.,$€£])(?<![-+*/×÷=<>^][ ])(?<![-+*/×÷=<>^])"
_NO_SUM_BEHIND: Final = r"(?![0-9A-Za-z])(?![.,][0-9])(?![ ]?[-+*/×÷=<>^%])"
"""A number with an operator beside it belongs to a sum."""


class Kind(NamedTuple):
    """A thing that is looked for."""

    secret: bool
    """A secret; else personal data."""
    gate: str
    """Pattern of Polars that every one of them matches."""
    shape: re.Pattern[str]
    valid: Callable[[str], bool] = bool
    """Whether what has the shape is one."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Whether a bank account number leaves 1 when divided by 97 (ISO 13616), blanks aside.

    >>> iban("DE89 3704 0044 0532 0130 00"), iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _card(text: str) -> bool:
    digits = _digits(text)
    return len(set(digits)) > 1 and luhn(digits)


def _phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15 and len(set(_digits(text))) > 2


def _email(text: str) -> bool:
    """Not one of the domains that are kept for examples (RFC 2606)."""
    return not re.search(r"[@.](?:example\.(?:com|org|net)|example|test|invalid|localhost)$", text, re.IGNORECASE)


def _address(text: str) -> bool:
    """A public address; `1.2.3.4` is a section number."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 4:
        return address.is_global and any(len(part) > 1 for part in text.split("."))
    return int(address) >> 125 == 1  # 2000::/3, all that is given out


def _mixed(text: str) -> bool:
    """A random key has digits and letters; `sk-learn-something-or-other` has not."""
    return bool(re.search("[0-9]", text)) and bool(re.search("[A-Za-z]", text)) and len(set(text)) > 8


KINDS: Final[dict[str, Kind]] = {
    "email": Kind(
        secret=False,
        gate=r"[A-Za-z0-9]@[A-Za-z0-9]",
        shape=re.compile(
            r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])"
        ),
        valid=_email,
    ),
    "phone": Kind(
        secret=False,
        gate=r"\+[1-9][0-9 ().-]{6,}[0-9]|[0-9]{3}\)? ?[ .-]?[2-9][0-9]{2}[.-][0-9]{4}",
        shape=re.compile(
            r"(?<![0-9A-Za-z)\]}.])(?<![0-9)\]}] )(?<!\b[A-Za-z] )\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{2,5}\)?){2,5}"
            + _NO_SUM_BEHIND
            + r"|"
            + _NO_SUM_BEFORE
            + r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}"
            + _NO_SUM_BEHIND
        ),
        valid=_phone,
    ),
    "ip": Kind(
        secret=False,
        gate=r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:",
        shape=re.compile(
            r"(?<![0-9A-Za-z.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z]|\.[0-9])"
            r"|(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![0-9A-Za-z:])"
        ),
        valid=_address,
    ),
    "card": Kind(
        secret=False,
        gate=r"[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{5}",
        shape=re.compile(
            _NO_SUM_BEFORE + r"(?:(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6011|65[0-9]{2}|64[4-9][0-9]|35[0-9]{2})"
            r"([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}|3[47][0-9]{2}([ -]?)[0-9]{6}\2[0-9]{5})" + _NO_SUM_BEHIND
        ),
        valid=_card,
    ),
    "iban": Kind(
        secret=False,
        gate=r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
        shape=re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![0-9A-Za-z])"),
        valid=iban,
    ),
    "ssn": Kind(
        secret=False,
        gate=r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
        shape=re.compile(_NO_SUM_BEFORE + r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}" + _NO_SUM_BEHIND),
    ),
    "aws_key": Kind(True, "A[KS]IA[0-9A-Z]{16}", re.compile(r"(?<![0-9A-Za-z])A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])")),
    "github_token": Kind(
        True,
        r"gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z]",
        re.compile(r"gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{22,}"),
    ),
    "huggingface_token": Kind(True, "hf_[A-Za-z0-9]{30}", re.compile(r"(?<![0-9A-Za-z_])hf_[A-Za-z0-9]{30,}")),
    "openai_key": Kind(True, "sk-[A-Za-z0-9_-]{20}", re.compile(r"(?<![0-9A-Za-z_-])sk-[A-Za-z0-9_-]{20,}"), _mixed),
    "slack_token": Kind(True, "xox[abeoprs]-[0-9A-Za-z]", re.compile(r"xox[abeoprs]-[0-9A-Za-z-]{10,}"), _mixed),
    "google_key": Kind(True, "AIza[0-9A-Za-z_-]{35}", re.compile(r"AIza[0-9A-Za-z_-]{35}"), _mixed),
    "stripe_key": Kind(True, "[rs]k_live_[0-9A-Za-z]{16}", re.compile(r"[rs]k_live_[0-9A-Za-z]{16,}")),
    "private_key": Kind(
        True, "-----BEGIN [A-Z ]*PRIVATE KEY", re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
    ),
    "jwt": Kind(
        True,
        "eyJ[0-9A-Za-z_-]+\\.eyJ",
        re.compile(r"(?<![0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}"),
    ),
}
"""What is looked for, by the name it has in `privacy.kinds`."""
SHAPES: Final = "|".join(kind.gate for kind in KINDS.values())
"""Matches wherever any of them does."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """Marks traces with the personal data and secrets that they hold.

    kinds     List(String)  what was found, each once, in the order of `KINDS`; empty: nothing
    personal  Boolean       email, phone, ip (public addresses), card, iban or ssn (United States) among them
    secret    Boolean       a key, a token or a private key among them

    All null where nothing was said. The question is not looked at: it is not the teacher's.
    """

    name: ClassVar[str] = "privacy"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "kinds": pl.List(pl.String),
        "personal": pl.Boolean(),
        "secret": pl.Boolean(),
    }
    source: ClassVar[str] = (
        "our own shapes; checksums: Luhn (ISO/IEC 7812-1), IBAN (ISO 13616); key formats: their issuers"
    )
    cost: ClassVar[str] = "800,000 rows/s of 300 characters on one core; one search in Polars, the few hits in Python"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `privacy.kinds` and the rest."""
        return judged(traces, self, _judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """Where the data stands, and what it is; never the data itself."""
        from curation.passes import Span  # which imports the passes

        texts = traces.select(trace_text().alias("text")).to_series()
        return [
            [
                Span("secret" if KINDS[kind].secret else "personal", "text", *place, kind)
                for kind, place in find(text or "")
            ]
            for text in texts
        ]


def find(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Everything of `KINDS` in one text: its name, and where it begins and ends in characters."""
    for name, kind in KINDS.items():
        for match in kind.shape.finditer(text):
            if kind.valid(match[0]):
                yield name, match.span()


def _judge(traces: pl.DataFrame) -> pl.DataFrame:
    spoken = pl.when(trace_text().str.contains(r"\S")).then(trace_text())
    rows = traces.select(spoken.alias("text"))
    text = rows["text"]
    none = pl.when(pl.col("text").is_not_null()).then(pl.lit([], pl.List(pl.String)))
    suspects = text.str.contains(SHAPES).fill_null(False).arg_true()
    found = pl.DataFrame(
        {
            "row": suspects.cast(pl.UInt32),
            "kinds": pl.Series([_kinds(said) for said in text.gather(suspects)], dtype=pl.List(pl.String)),
        }
    )
    personal, secret = ([name for name, kind in KINDS.items() if kind.secret is asked] for asked in (False, True))
    return (
        rows.with_row_index("row")
        .join(found, on="row", how="left", maintain_order="left")
        .select(pl.coalesce("kinds", none).alias("kinds"))
        .with_columns(
            (pl.col("kinds").list.set_intersection(personal).list.len() > 0).alias("personal"),
            (pl.col("kinds").list.set_intersection(secret).list.len() > 0).alias("secret"),
        )
    )


def _kinds(text: str) -> list[str]:
    return list(dict.fromkeys(name for name, _ in find(text)))
