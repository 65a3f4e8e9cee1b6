"""The judge: what it is asked, what counts as a label, and that nothing is asked twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from builders import config
from builders.corpus import Corpus
from builders.errors import CotmillError, TeacherError, UnansweredRequest
from builders.schema import TRACES
from builders.teachers import Completion, Request
from builders.teachers.scripted import ScriptedTeacher
from curation.passes import build
from curation.value.judge import Judge, JudgePrompt, label_said
from tests.corpora import messy_traces, trace
from tests.servers import stub_server

SCRIPTED = {"kind": "scripted", "responses": ["Sound."]}


def frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame([trace(f"p{i}", text) for i, text in enumerate(texts)], schema=TRACES)


class Answers(ScriptedTeacher):
    """A scripted teacher that a function of the prompt tells what to say."""

    def __init__(self, say) -> None:
        super().__init__(config.ScriptedTeacher(kind="scripted"))
        self.say, self.asked = say, []

    async def sample(self, request: Request) -> Completion:
        self.asked.append(request)
        return Completion(self.say(request.messages[-1]["content"]), finish_reason="stop", completion_tokens=1)


def first_listed(prompt: str) -> str:
    return prompt.partition("\n- ")[2].partition("\n")[0]


def judged(folder: Path, traces: pl.DataFrame, say=None, **settings) -> pl.DataFrame:
    """The marks in the order of the traces; `say` speaks for the teacher."""
    made = Judge(SCRIPTED, **settings)
    given = traces.select("trace_id", *made.reads).lazy()
    if say is None:
        found = made.mark_corpus(given, folder)
    else:
        teacher = say if isinstance(say, ScriptedTeacher) else Answers(say)
        found = made.judge(given, folder, teacher.config, teacher)
    schema = {"trace_id": pl.String, **{f"judge.{name}": kind for name, kind in made.marks.items()}}
    assert dict(found.schema) == schema
    assert found.height == traces.height
    ordered = traces.select("trace_id").join(found, on="trace_id", how="left", maintain_order="left")
    return ordered.rename({name: name.removeprefix("judge.") for name in ordered.columns})


# Labels


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("sound", "sound"),
        (" **Sound.**\nBecause each step follows.", "sound"),
        ("'FLAWED'", "flawed"),
        ("It is sound", None),
        ("sound or flawed", None),
        ("soundly", None),
        ("\x00", None),
        ("", None),
        (None, None),
    ],
)
def test_an_answer_is_a_label_or_nothing(said, label):
    found = pl.DataFrame({"said": [said]}, schema={"said": pl.String}).select(
        label_said(pl.col("said"), ("sound", "flawed"))
    )
    assert found.item() == label


@pytest.mark.parametrize("labels", ["good", "good|Good", "good|", ("a\nb", "c")])
def test_labels_must_be_a_set_to_choose_from(labels):
    with pytest.raises(CotmillError, match="no set to choose from"):
        Judge(SCRIPTED, labels=labels)


# Order swap


def test_a_label_given_both_times_counts(tmp_path):
    assert judged(tmp_path, frame("x")).row(0)[1:] == ("sound", True, ["Sound.", "Sound."])


def test_a_judge_that_says_what_stands_first_says_nothing(tmp_path):
    assert judged(tmp_path, frame("x"), first_listed).row(0)[1:] == (None, False, ["sound", "flawed"])


def test_anything_else_is_kept_and_no_label(tmp_path):
    assert judged(tmp_path, frame("x"), lambda _: "Hm.").row(0)[1:] == (None, None, ["Hm.", "Hm."])


def test_labels_of_a_command_line(tmp_path):
    found = judged(tmp_path, frame("x", "y"), lambda p: "good" if "\nx\n" in p else "bad", labels="good|bad")
    assert found["label"].to_list() == ["good", "bad"]


def test_a_trace_without_text_is_not_asked_about(tmp_path):
    teacher = Answers(lambda _: "sound")
    assert judged(tmp_path, frame(None, " ", "x"), teacher)["raw"].to_list() == [None, None, ["sound", "sound"]]
    assert len(teacher.asked) == 2


# What the judge sees


def test_the_gold_answer_is_shown_only_when_asked_for(tmp_path):
    hidden, shown = Answers(lambda _: "sound"), Answers(lambda _: "sound")
    traces = frame("x").with_columns(gold=pl.lit("golden"), gold_value=pl.lit("golden"))
    judged(tmp_path, traces, hidden)
    judged(tmp_path, traces, shown, show_gold=True)
    assert not any("golden" in str(request) for request in hidden.asked)
    assert all("The correct answer is: golden\n" in request.messages[-1]["content"] for request in shown.asked)


def test_what_a_trace_says_does_not_change_the_rest_of_the_prompt():
    prompt = JudgePrompt(None, "judge", "", (), labels=("a", "b"), asked="Is it?")
    row = {"question": "{solution}", "choices": None, "text": "{labels}", "gold": None}
    text = prompt.turns(row)[-1]["content"]
    assert text.startswith("Question:\n{solution}\n")
    assert "<solution>\n{labels}\n</solution>\n\nIs it?\nChoose one of:\n- a\n- b\n" in text


# Resuming


def test_what_is_answered_is_not_asked_again(tmp_path):
    first, second = Answers(lambda _: "sound"), Answers(lambda _: "flawed")
    judged(tmp_path, frame("x"), first)
    found = judged(tmp_path, frame("x", "y"), second)
    assert (len(first.asked), len(second.asked)) == (2, 2)
    assert found["label"].to_list() == ["sound", "flawed"]


def test_another_question_is_another_judgement(tmp_path):
    judged(tmp_path, frame("x"), lambda _: "sound")
    assert judged(tmp_path, frame("x"), lambda _: "flawed", question="Is it so?")["label"].to_list() == ["flawed"]


class Failing(Answers):
    """Answers no request about some traces."""

    def __init__(self, about: str) -> None:
        super().__init__(lambda _: "sound")
        self.about = about

    async def sample(self, request: Request) -> Completion:
        if self.about in request.messages[-1]["content"]:
            self.asked.append(request)
            raise UnansweredRequest("no answer in time")
        return await super().sample(request)


def test_a_few_without_an_answer_are_unknown_and_were_asked_twice(tmp_path):
    teacher = Failing("lost one")
    found = judged(tmp_path, frame("lost one", *(f"x{i}" for i in range(30))), teacher)
    assert found["label"].null_count() == 1
    assert sum("lost one" in request.messages[-1]["content"] for request in teacher.asked) == 4
    assert (tmp_path / "judgements" / "unanswered.jsonl").exists()


def test_many_without_an_answer_make_no_marks_and_lose_nothing(tmp_path):
    with pytest.raises(TeacherError, match=r"2 of 4 judgements got no answer \(no answer in time\)"):
        judged(tmp_path, frame("lost one", "x"), Failing("lost one"))
    teacher = Answers(lambda _: "sound")
    assert judged(tmp_path, frame("lost one", "x"), teacher)["label"].to_list() == ["sound", "sound"]
    assert len(teacher.asked) == 2


KILLED = """
import sys
from pathlib import Path
import polars as pl
from curation.value.judge import Judge
made = Judge({"kind": "scripted", "responses": ["sound"], "delay": 0.2})
made.mark_corpus(pl.scan_parquet(sys.argv[1]).select("trace_id", *made.reads), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_kill_9_asks_only_what_was_in_flight(tmp_path):
    traces, file = frame(*(f"x{i}" for i in range(3000))), tmp_path / "traces.parquet"
    traces.write_parquet(file)
    judgements = tmp_path / "out" / "judgements"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(tmp_path / "out")]) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not any(f.stat().st_size for f in judgements.glob("journal/*")):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    held = Corpus(judgements).held_ids().len()
    assert 64 <= held < 6000
    made = Judge({"kind": "scripted", "responses": ["sound"], "delay": 0.2})
    found = made.mark_corpus(traces.select("trace_id", *made.reads).lazy(), tmp_path / "out")
    assert found["judge.label"].to_list() == ["sound"] * 3000
    ids = Corpus(judgements).held_ids()
    assert (ids.len(), ids.n_unique()) == (6000, 6000)


# Teachers


def test_a_server_judges(tmp_path):
    with stub_server(answer="Flawed") as server:
        made = Judge({"kind": "server", "model": "stub", "base_url": server.url})
        given = frame("x", "y").select("trace_id", *made.reads).lazy()
        assert made.mark_corpus(given, tmp_path)["judge.label"].to_list() == ["flawed", "flawed"]
        body = server.stats()["last_body"]
        assert (body["temperature"], body["max_tokens"], server.stats()["requests"]) == (0, 32, 4)


def test_a_section_in_a_file(tmp_path):
    file = tmp_path / "judge.yaml"
    file.write_text("teacher: [{kind: scripted, responses: [sound]}]\n")
    assert Judge(str(file)).content() == Judge({"kind": "scripted", "responses": ["sound"]}).content()
    assert Judge(str(file)).content() != Judge({"kind": "scripted", "responses": ["flawed"]}).content()


@pytest.mark.parametrize(
    ("teacher", "complaint"),
    [
        ("nowhere.yaml", "no YAML file that can be read"),
        ({"kind": "scripted", "temperature": 0.7}, "a judge has temperature 0"),
        ({"kind": "scripted", "acuracy": 1}, "acuracy"),
    ],
)
def test_a_section_that_is_wrong(teacher, complaint):
    with pytest.raises(CotmillError, match=complaint):
        Judge(teacher).content()


def test_as_a_recipe_and_as_a_command_line_say_it():
    assert build(Judge, "judge", {"teacher": SCRIPTED, "labels": ["a", "b"]}).options == ("a", "b")
    assert build(Judge, "judge", {"teacher": "j.yaml", "labels": "a|b", "show_gold": "true"}).show_gold
    with pytest.raises(CotmillError, match="teacher"):
        build(Judge, "judge", {})


# Laws


def test_messy_traces_in_any_order(tmp_path):
    messy = messy_traces()
    once = judged(tmp_path, messy)
    assert once.equals(judged(tmp_path, messy.reverse()).reverse())
    assert judged(tmp_path / "none", messy.clear()).height == 0
    nothing = messy.head(3).select("trace_id", *(pl.lit(None, messy.schema[c]).alias(c) for c in Judge.reads))
    assert judged(tmp_path / "nulls", nothing)["raw"].null_count() == 3
