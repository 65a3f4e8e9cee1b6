"""Which tokens carry loss: four families of chat templates token by token, and what others stumbled over."""

from __future__ import annotations

import pytest

from builders.errors import CotmillError
from builders.teachers.templates import ALPACA, GEMMA, LLAMA3
from tests.models import CHAT_TEMPLATE
from tests.training import row, sum_rows, tokens_of, turn, word_tokenizer, write
from training.checks import check_prompt
from training.config import EvaluateConfig, TrainConfig
from training.preview import preview
from training.rows import prepare, read_rows
from training.sft import train
from training.tokens import tokenise

QUESTION, ANSWER = "How many ?", "3 + 4 = 7"
IM = ("<|im_start|>", "<|im_end|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
TURNS = ("<start_of_turn>", "<end_of_turn>")
THINK = ("<think>", "</think>")

# Four families, one question ----------------------------------------------------------------------------

ASKED = ["How", " ", "many", " ", "?"]
SAID = ["3", " ", "+", " ", "4", " ", "=", " ", "7"]
FAMILIES = {
    "chatml": (
        CHAT_TEMPLATE,
        IM,
        ["<|im_start|>", "user", "\n", *ASKED, "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"],
        [*SAID, "<|im_end|>"],
    ),
    "llama3": (
        LLAMA3,
        HEADERS,
        [
            *("<bos>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n", "\n", *ASKED, "<|eot_id|>"),
            *("<|start_header_id|>", "assistant", "<|end_header_id|>", "\n", "\n"),
        ],
        [*SAID, "<|eot_id|>"],
    ),
    "gemma": (
        GEMMA,
        TURNS,
        [
            *("<bos>", "<start_of_turn>", "user", "\n", *ASKED, "<end_of_turn>", "\n"),
            *("<start_of_turn>", "model", "\n"),
        ],
        [*SAID, "<end_of_turn>"],
    ),
    "alpaca": (
        ALPACA,
        (),
        [*("###", " ", "Instruction:", "\n", *ASKED, "\n", "\n"), *("###", " ", "Response:", "\n")],
        [*SAID, "<eos>"],
    ),
}


def words(template: str, special: tuple[str, ...] = ()):
    texts = (
        f"{QUESTION} {ANSWER} <think> </think>",
        "user assistant model system",
        "### Instruction:\n### Response:\n",
    )
    return word_tokenizer(*texts, special=special, template=template)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mask_of_each_family(family):
    template, special, untrained, trained = FAMILIES[family]
    tokenizer = words(template, special)
    made = tokenise(turn("user", QUESTION), turn("assistant", ANSWER), tokenizer)
    assert tokens_of(tokenizer, made) == (untrained, trained)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_several_turns_the_last_alone_is_trained_and_ends_once(family):
    """prime-rl 2644: masks went wrong where one turn ends and the next begins."""
    template, special, *_ = FAMILIES[family]
    tokenizer = words(template, special)
    talk = [*turn("user", QUESTION), *turn("assistant", "7"), *turn("user", QUESTION)]
    made = tokenise(talk, turn("assistant", ANSWER), tokenizer)
    _, trained = tokens_of(tokenizer, made)
    assert trained == FAMILIES[family][3]


# Reasoning ----------------------------------------------------------------------------------------------

THOUGHT = "<think> 3 + 4 </think> 7"
GENERATE = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
DROPS = CHAT_TEMPLATE.replace("message['content']", "message['content'].split('</think>')[-1]")
STRIPS_TAGS = CHAT_TEMPLATE.replace("message['content']", "message['content'] | replace('<think>', '')")
FILLS_IN = CHAT_TEMPLATE.replace(
    "message['content']",
    "('<think>\n\n</think>\n\n' if message.role == 'assistant' and '<think>' not in message.content else '')"
    " + message['content']",
)
OPENS = CHAT_TEMPLATE.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")


def test_think_tags_are_trained():
    """open-r1 515: after training, tags and chain were gone."""
    tokenizer = words(CHAT_TEMPLATE, IM)
    _, trained = tokens_of(tokenizer, tokenise(turn("user", QUESTION), turn("assistant", THOUGHT), tokenizer))
    assert trained == ["<think>", " ", "3", " ", "+", " ", "4", " ", "</think>", " ", "7", "<|im_end|>"]


def test_an_empty_thought_of_the_template_is_not_trained():
    """NeMo Automodel 3738: a student that learns `<think></think>` unlearns thinking."""
    tokenizer = words(FILLS_IN, IM)
    untrained, trained = tokens_of(tokenizer, tokenise(turn("user", QUESTION), turn("assistant", ANSWER), tokenizer))
    assert (untrained, trained) == FAMILIES["chatml"][2:]


def test_a_thought_that_the_prompt_opens_is_gone_on_with():
    """vLLM 13125: the template opens `<think>`, so the student does not say it again."""
    tokenizer = words(OPENS, IM)
    said = turn("assistant", "<think>\n3 + 4 </think> 7")
    untrained, trained = tokens_of(tokenizer, tokenise(turn("user", QUESTION), said, tokenizer))
    assert untrained[-5:] == ["<|im_start|>", "assistant", "\n", "<think>", "\n"]
    assert trained == ["3", " ", "+", " ", "4", " ", "</think>", " ", "7", "<|im_end|>"]


@pytest.mark.parametrize(
    ("template", "special", "said", "why"),
    [
        (DROPS, IM, THOUGHT, "reasoning"),
        (STRIPS_TAGS, IM, THOUGHT, "think"),
        (CHAT_TEMPLATE, (*IM, *THINK), THOUGHT, "think"),  # special tokens never reach the text of an answer
        (OPENS, IM, ANSWER, "changed"),  # evaluation opens a thought, training does not
        (CHAT_TEMPLATE, IM, "<think> 3 + 4", "truncated"),
        (CHAT_TEMPLATE, IM, "3 + ½", "tokenizer"),  # an unknown word
        (CHAT_TEMPLATE, IM, "3 <|im_end|> 4", "tokenizer"),  # would teach to stop in the middle
        (CHAT_TEMPLATE.replace("message['content']", "message['content'] | upper"), IM, "How", "changed"),
        ("{{ raise_exception('no') }}", IM, ANSWER, "refused"),
    ],
)
def test_what_would_teach_something_else(template, special, said, why):
    assert tokenise(turn("user", QUESTION), turn("assistant", said), words(template, special)) == why


# Refused before training --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "said", "message"),
    [
        (DROPS, "<think>2+2</think>4", "the chat template drops its reasoning .1 of 3 rows"),
        (STRIPS_TAGS, "<think>2+2</think>4", "its <think> tags do not come through"),
        (CHAT_TEMPLATE, "<think>2+2", "its answer was cut off"),
        (CHAT_TEMPLATE, "4<|im_end|>4", "the tokenizer does not give its text back"),
    ],
)
def test_a_fault_stops_a_training_and_can_be_waived(tmp_path, tiny_llama, template, said, message):
    dataset = write(tmp_path / "d", [*sum_rows(2), row("2 + 2?", said)])
    config = TrainConfig(student=str(tiny_llama), chat_template=template)
    with pytest.raises(CotmillError, match=rf"row 3 cannot be trained on, as {message}") as caught:
        train(dataset, config, tmp_path / "out")
    assert not (tmp_path / "out/train.json").exists()
    why = str(caught.value).split("train.allow: [")[1].split("]")[0]
    allowed = preview(dataset, config.model_copy(update={"allow": [why]}))
    assert (allowed.fault, allowed.total, allowed.left_out) == (None, 2, {why: 1})


def test_a_trace_that_was_cut_off_is_refused(tmp_path, tiny_llama):
    rows = [{**made, "finish_reason": reason} for made, reason in zip(sum_rows(2), ["stop", "length"], strict=True)]
    fault = preview(write(tmp_path / "d", rows), TrainConfig(student=str(tiny_llama))).fault
    assert "row 2 cannot be trained on, as its answer was cut off (1 of 2 rows)" in fault


def test_a_prompt_that_differs_from_evaluation_is_refused_with_both(tmp_path, tiny_llama):
    """LLaMA-Factory 7978: trained and asked under different templates."""
    rows = [{**made, "question": made["prompt"][0]["content"]} for made in sum_rows(2)]
    dataset = write(tmp_path / "d", rows)
    config = TrainConfig(student=str(tiny_llama), chat_template="alpaca")
    for evaluation, shown in [
        (EvaluateConfig(template="{question} "), r"0 \+ 0\? \\n"),  # one stray blank
        (EvaluateConfig(system="You are a helpful assistant."), "You are a helpful"),
        (EvaluateConfig(chat_template="llama3"), "start_header_id"),
    ]:
        with pytest.raises(CotmillError, match=rf"another prompt than .*\n.*\n  evaluated with: .*{shown}"):
            train(dataset, config, tmp_path / "out", evaluation=evaluation)
    waived = config.model_copy(update={"allow": ["prompt"]})
    assert preview(dataset, waived, evaluation=EvaluateConfig(system="Be good.")).fault is None
    assert preview(dataset, config, evaluation=EvaluateConfig(chat_template="alpaca")).fault is None


def test_choices_are_part_of_the_prompt_that_is_compared(tiny_llama):
    from training.student import load_tokenizer

    config = TrainConfig(student=str(tiny_llama))
    asked = {"question": "Which?", "choices": ["a", "b"], "prompt": turn("user", "Which?\nA. a\nB. b")}
    check_prompt([asked], load_tokenizer(config), config, EvaluateConfig())
    with pytest.raises(CotmillError, match="another prompt"):
        check_prompt([{**asked, "choices": ["a", "c"]}], load_tokenizer(config), config, EvaluateConfig())


# Rows ---------------------------------------------------------------------------------------------------


def test_messages_are_prompt_and_last_turn(tmp_path, tiny_llama):
    talk = [*turn("system", "Be brief."), *turn("user", "2 + 2?"), *turn("assistant", "4")]
    from tests.training import MESSAGES

    dataset = write(tmp_path / "d", [{"messages": talk}], messages=MESSAGES)
    (read,) = read_rows(dataset)
    assert (read["prompt"], read["completion"]) == (talk[:2], talk[2:])


def test_texts_are_turns(tmp_path):
    import polars as pl

    dataset = write(tmp_path / "d", [{"prompt": "2 + 2?", "completion": "4"}], prompt=pl.String, completion=pl.String)
    assert read_rows(dataset)[0] == row("2 + 2?", "4")


def test_rows_longer_than_the_students_context_are_left_out(tmp_path, tiny_llama):
    rows = [*sum_rows(1), row("2 + 2?", "4 " * 600)]  # its context is 512 tokens
    shown = preview(write(tmp_path / "d", rows), TrainConfig(student=str(tiny_llama), sft={"max_length": 4096}))
    assert (shown.total, shown.left_out, shown.fault) == (1, {"too_long": 1}, None)


def test_padding_with_the_end_token_does_not_hide_it_from_the_loss(tmp_path, tiny_llama):
    from training.student import load_tokenizer

    tokenizer = load_tokenizer(TrainConfig(student=str(tiny_llama)))
    tokenizer.pad_token = tokenizer.eos_token
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    made = [prepare([r], tokenizer, None).rows[0] for r in (row("1?", "1"), row("22 + 22?", "The answer is 44."))]
    examples = [
        {
            "input_ids": m.input_ids,
            "labels": [i if c else -100 for i, c in zip(m.input_ids, m.completion_mask, strict=True)],
        }
        for m in made
    ]
    batch = DataCollatorForLanguageModeling(tokenizer.pad_token_id)(examples)
    end = tokenizer.eos_token_id
    assert [(labels == end).sum().item() for labels in batch["labels"]] == [1, 1]


def test_what_a_student_lacks_is_said(tmp_path):
    from tests.models import make_tiny_llama
    from training.student import load_tokenizer

    bare = make_tiny_llama(tmp_path / "bare", chat_template=None)
    import json

    said = json.loads((bare / "tokenizer_config.json").read_text())
    said.pop("pad_token")
    (bare / "tokenizer_config.json").write_text(json.dumps(said))
    notes: list[str] = []
    load_tokenizer(TrainConfig(student=str(bare)), notes.append)
    assert [note.split(":")[0] for note in notes] == [
        "the student has no padding token",
        "the student has no chat template",
    ]


def test_a_tokenizer_that_knows_more_tokens_than_the_model_is_refused(tmp_path, tiny_llama):
    import shutil

    from transformers import AutoTokenizer

    student = shutil.copytree(tiny_llama, tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokenizer.add_tokens(["apples"])
    tokenizer.save_pretrained(student)
    dataset = write(tmp_path / "d", [row("How many?", "3 apples")])
    with pytest.raises(CotmillError, match="gives token 384, and the model knows 384"):
        train(dataset, TrainConfig(student=str(student)), tmp_path / "out")


# Preview ------------------------------------------------------------------------------------------------


def test_preview_marks_what_carries_loss(tmp_path, tiny_llama):
    (shown,) = preview(write(tmp_path / "d", [row("2 + 2?", "½ → 4")]), TrainConfig(student=str(tiny_llama))).rows
    assert str(shown).endswith("<|im_start|>assistant\n⟦½ → 4<|im_end|>⟧")
    assert shown.coloured().endswith("assistant\n\x1b[0m\x1b[1;32m½ → 4<|im_end|>\x1b[0m")
    assert "".join(shown.tokens) == str(shown).replace("⟦", "").replace("⟧", "")


def test_preview_trains_nothing_and_exits_2_on_a_fault(tmp_path, tiny_llama):
    import json
    import subprocess
    import sys

    dataset = write(tmp_path / "d", [row("2 + 2?", "<think>4")])
    command = [sys.executable, "-m", "cotmill", "train", str(dataset), "--student", str(tiny_llama), "--preview"]
    plain = subprocess.run(command, capture_output=True, text=True)
    assert plain.returncode == 2
    assert "its answer was cut off" in plain.stderr
    said = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True).stdout)
    assert (said["total"], said["left_out"]) == (0, {"truncated": 1})
    assert list(tmp_path.iterdir()) == [dataset]
