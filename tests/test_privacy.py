"""Personal data and secrets: found by shape and checksum, and not in arithmetic. All of them are made up."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.privacy import KINDS, SHAPES, Privacy, find

FOUND = [
    ("email", "Write to pam.smith+x@uni-bonn.de now."),
    ("phone", "Call (415) 555-2671 or"),
    ("phone", "call 415-555-2671."),
    ("phone", "at +49 30 901820 today"),
    ("phone", "+44 20 7946 0958"),
    ("ip", "server 81.2.69.142 is"),
    ("ip", "at 2a00:1450:4001:80b::200e now"),
    ("card", "card 4111 1111 1111 1111."),
    ("card", "5500-0000-0000-0004"),
    ("card", "378282246310005"),
    ("iban", "to DE89 3704 0044 0532 0130 00, please"),
    ("iban", "GB82WEST12345698765432"),
    ("ssn", "SSN 078-05-1120"),
    ("aws_key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("github_token", "ghp_" + "a1B2" * 9),
    ("github_token", "github_pat_" + "a1B2" * 9),
    ("huggingface_token", "hf_" + "aBcDeFgH" * 4),
    ("openai_key", "sk-proj-" + "abc123DEF456ghi789JKL"),
    ("slack_token", "xoxb-" + "123456789012-abcdefGHIJ"),
    ("google_key", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"),
    ("stripe_key", "sk_live_" + "a1B2c3D4e5F6g7H8"),
    ("private_key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w"),
]

NOT_FOUND = [
    "He has 800-350-1200 = -750 left.",
    "x = 900-450-4500",
    "5 + 1234567890 = 1234567895",
    "f(x)+12345678",
    "12 +34567890 eggs",
    "x = 4111111111111111",  # a result, whatever its last digit
    "4 * 4111111111111111 = 16444444444444444",
    "card 4111 1111 1111 1112",  # fails its checksum
    "150-25-1000 = -875",
    "000-12-3456 and 900-12-3456",  # never given out
    "see section 1.2.3.4",
    "at 10.0.0.1 and 192.168.0.1",  # nobody's in particular
    "300.1.2.345",
    "a::b and std::vector",
    "the ratio 2:3:4:5:6:7:8:9",
    "10:20:30:40",
    "1998-12-05 12:30:45",
    "pam@example.com",
    "DE88 3704 0044 0532 0130 00",
    "sk-learn-something-long-hyphenated",
    "2,500,000,000 and 1,111-222-3333",
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nIn all 48+24 = <<48+24=72>>72 clips.\n#### 72",
    "Call 555-1234.",
]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_found(kind, text):
    assert [name for name, _ in find(text)] == [kind]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_the_first_look_misses_none(kind, text):
    assert pl.Series([text]).str.contains(KINDS[kind].gate).item()


@pytest.mark.parametrize("text", NOT_FOUND)
def test_not_found(text):
    assert list(find(text)) == []


def marks(*texts: str | None) -> list[tuple]:
    frame = pl.DataFrame([{"trace_id": str(i), "response": text} for i, text in enumerate(texts)], schema=TRACES)
    return mark_frame(frame, Privacy()).drop("trace_id").rows()


def test_marks_say_what_and_of_which_sort():
    assert marks("a@b.de, c@d.de and hf_" + "aBcDeFgH" * 4, "081-05-1120", "nothing", None) == [
        (["email", "huggingface_token"], True, True),
        (["ssn"], True, False),
        ([], False, False),
        (None, None, None),
    ]


def test_spans_name_the_kind_and_not_the_data():
    text = "Müller: 078-05-1120"
    traces = pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES)
    [[span]] = Privacy().spans(traces)
    assert (span.mark, span.note, text[span.start : span.end]) == ("personal", "ssn", "078-05-1120")


def test_all_shapes_together_are_one_pattern():
    assert pl.Series(["", "2 + 3 = 5"]).str.contains(SHAPES).to_list() == [False, False]
