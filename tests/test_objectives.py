"""What each objective changes, and that it changes nothing else."""

from __future__ import annotations

import pytest

from builders.errors import CotmillError
from tests.training import row, sum_rows, turn, write
from training.config import TrainConfig
from training.objectives import OBJECTIVES, Progress, Student, parse
from training.rows import prepare
from training.sft import train
from training.student import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return load_tokenizer(TrainConfig(student=str(tiny_llama)))


@pytest.fixture
def sums(tmp_path):
    rows = [{**made, "answer": str(2 * i), "weight": 1.0 + i % 2} for i, made in enumerate(sum_rows())]
    return write(tmp_path / "sums", rows)


def run(dataset, tiny_llama, out, objective="sft", **fields):
    """A training with every loss, all weights, no randomness but the objective's."""
    sft = {"max_steps": 4, "learning_rate": 1e-2, "logging_steps": 1, "bf16": False, **fields}
    config = TrainConfig(student=str(tiny_llama), objective=objective, sft=sft)
    return train(dataset, config, out, log=lambda _: None)


def losses(report) -> list[float]:
    return [loss for _, loss in report.loss]


# Every one of them --------------------------------------------------------------------------------------

SAID = {
    "padding": {"padding": {"times": 2}},
    "chunk_wise": {"chunk_wise": {"chunks": 2}},
    "masked_thought": {"masked_thought": {"ramp": 0}},
}


@pytest.mark.train
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("dpo", "distill")])
def test_an_objective_trains(sums, tmp_path, tiny_llama, name):
    report = run(sums, tiny_llama, tmp_path / "out", SAID.get(name, name), max_steps=12)
    assert report.objective == name
    assert report.last_loss < 0.9 * report.first_loss
    assert (tmp_path / "out/model/config.json").is_file()


def test_every_objective_has_a_name_that_finds_it():
    made = {"padding": {"padding": {"times": 2}}, "distill": {"distill": {"teacher": "x"}}}
    assert [parse(made.get(name, name)).name for name in OBJECTIVES] == list(OBJECTIVES)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("masked", r"no objective 'masked' .*; known: sft, masked_thought"),
        ("chunkwise", r"did you mean `chunk_wise`"),
        ({"masked_thought": {"rate": 2}}, r"masked_thought\.rate: .*less than or equal to 1"),
        ({"weighted": {"scale": 2}}, r"weighted\.scale: .*its parameters: none"),
        ({"padding": {}}, "either tokens or times"),
        ({"sft": {}, "dpo": {}}, "one objective"),
        ({"answer_only": {"template": "yes"}}, r"`\{answer\}` is missing"),
    ],
)
def test_what_is_no_objective(said, message):
    with pytest.raises(ValueError, match=message):
        parse(said)


# Masked thought -----------------------------------------------------------------------------------------


def batch(count: int):
    """`count` tokens of completion after 10 of prompt."""
    import torch

    ids = torch.full((1, 10 + count), 50)
    return {"input_ids": ids, "labels": torch.cat([torch.full((1, 10), -100), ids[:, 10:]], 1)}


def at(step: int = 0, **said) -> Progress:
    return Progress(**{"step": step, "steps": 90, "part": 0, "process": 0, "seed": 0, **said})


def test_masking_replaces_its_share_of_the_completion_and_nothing_else(tokenizer):
    import torch

    before = batch(10_000)
    after = parse({"masked_thought": {"replace": "<|endoftext|>"}}).batch(before, at(60), Student(tokenizer))
    changed = after["input_ids"] != before["input_ids"]
    assert not changed[:, :10].any()
    assert 3850 < changed.sum() < 4150  # 0.4 of 10,000, three standard deviations
    assert torch.equal(after["labels"], before["labels"])


def test_a_random_replacement_is_an_ordinary_token(tokenizer):
    after = parse("masked_thought").batch(batch(5000), at(60), Student(tokenizer))
    assert not set(after["input_ids"].flatten().tolist()) & set(tokenizer.all_special_ids)


def test_no_rate_changes_nothing_at_all(tokenizer):
    before = batch(100)
    assert parse({"masked_thought": {"rate": 0}}).batch(before, at(60), Student(tokenizer)) is before


@pytest.mark.parametrize(("step", "rate"), [(0, 0.0), (15, 0.1), (30, 0.2), (60, 0.4), (89, 0.4)])
def test_the_rate_grows_over_two_thirds_of_the_steps(step, rate):
    assert parse("masked_thought").rate_at(at(step)) == pytest.approx(rate)


def test_each_batch_is_masked_in_its_own_way_and_the_same_again(tokenizer):
    objective, student = parse("masked_thought"), Student(tokenizer)

    def ids(**said):
        return objective.batch(batch(200), at(60, **said), student)["input_ids"].tolist()

    assert ids() == ids()
    assert len({str(ids(**said)) for said in ({}, {"part": 1}, {"process": 1}, {"seed": 1})}) == 4


def test_a_token_that_the_student_has_not_is_named(tokenizer):
    with pytest.raises(CotmillError, match="the student has no token '<mask>'"):
        parse({"masked_thought": {"replace": "<mask>", "ramp": 0}}).batch(batch(9), at(), Student(tokenizer))


@pytest.mark.train
def test_masking_at_rate_0_is_plain_fine_tuning(sums, tmp_path, tiny_llama):
    plain = run(sums, tiny_llama, tmp_path / "plain")
    masked = run(sums, tiny_llama, tmp_path / "masked", {"masked_thought": {"rate": 0}})
    assert losses(masked) == losses(plain)


# Chunks -------------------------------------------------------------------------------------------------

STEPS = "First 2 + 2 = 4.\nThen 4 + 1 = 5.\nThen 5 + 1 = 6.\nThe answer is 6."


def test_chunks_carry_loss_in_turn_and_together_make_the_plain_row(tokenizer):
    (plain,) = prepare([row("2?", STEPS)], tokenizer, None).rows
    parts = prepare([row("2?", STEPS)], tokenizer, None, parse({"chunk_wise": {"chunks": 2}})).rows
    texts = [tokenizer.decode([i for i, m in zip(p.input_ids, p.completion_mask, strict=True) if m]) for p in parts]
    assert texts == ["First 2 + 2 = 4.\nThen 4 + 1 = 5.\n", "Then 5 + 1 = 6.\nThe answer is 6.<|im_end|>"]
    assert parts[-1].input_ids == plain.input_ids
    assert all(plain.input_ids[: len(p.input_ids)] == p.input_ids for p in parts)
    padded = [[*p.completion_mask, *[0] * (len(plain.input_ids) - len(p.input_ids))] for p in parts]
    assert [sum(column) for column in zip(*padded, strict=True)] == plain.completion_mask


@pytest.mark.parametrize(("chunks", "rows"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_there_are_no_more_chunks_than_steps(tokenizer, chunks, rows):
    made = prepare([row("2?", STEPS)], tokenizer, None, parse({"chunk_wise": {"chunks": chunks}}))
    assert (len(made.rows), made.sources) == (rows, 1)


def test_one_chunk_is_the_plain_row(tokenizer):
    whole = prepare([row("2?", STEPS)], tokenizer, None)
    assert prepare([row("2?", STEPS)], tokenizer, None, parse({"chunk_wise": {"chunks": 1}})).rows == whole.rows


# Weights ------------------------------------------------------------------------------------------------


def weighted(*weights):
    return [{**made, "weight": w} for made, w in zip(sum_rows(len(weights)), weights, strict=True)]


def test_weights_have_mean_1_over_the_trained_tokens(tokenizer):
    rows = prepare(weighted(3.0, 1.0), tokenizer, None, parse("weighted")).rows
    tokens = [sum(r.completion_mask) for r in rows]
    assert rows[0].weight / rows[1].weight == pytest.approx(3)
    assert sum(n * r.weight for n, r in zip(tokens, rows, strict=True)) == pytest.approx(sum(tokens))


@pytest.mark.parametrize(("weight", "message"), [(-1.0, "holds -1.0"), (0.0, "every weight .* is 0")])
def test_weights_that_cannot_be(tokenizer, weight, message):
    with pytest.raises(CotmillError, match=message):
        prepare(weighted(weight), tokenizer, None, parse("weighted"))


def test_a_row_without_a_weight_is_left_out(tokenizer):
    assert prepare(weighted(1.0, None), tokenizer, None, parse("weighted")).left_out == {"unweighted": 1}


@pytest.mark.train
def test_equal_weights_are_plain_fine_tuning(tmp_path, tiny_llama):
    dataset = write(tmp_path / "d", weighted(*[5.0] * 8))
    plain = run(dataset, tiny_llama, tmp_path / "plain", gradient_accumulation_steps=2, per_device_train_batch_size=2)
    same = run(
        dataset, tiny_llama, tmp_path / "same", "weighted", gradient_accumulation_steps=2, per_device_train_batch_size=2
    )
    assert losses(same) == pytest.approx(losses(plain), abs=1e-6)


@pytest.mark.train
@pytest.mark.parametrize("padding_free", [False, True])
def test_the_loss_is_that_of_each_row_by_its_weight(tmp_path, tiny_llama, tokenizer, padding_free):
    import torch
    from transformers import AutoModelForCausalLM

    rows = weighted(3.0, 1.0)
    report = run(
        write(tmp_path / "d", rows), tiny_llama, tmp_path / "o", "weighted", max_steps=1, padding_free=padding_free
    )
    model, total, count = AutoModelForCausalLM.from_pretrained(tiny_llama), 0.0, 0
    for made in prepare(rows, tokenizer, None, parse("weighted")).rows:
        labels = [i if m else -100 for i, m in zip(made.input_ids, made.completion_mask, strict=True)]
        n = sum(made.completion_mask)
        with torch.no_grad():
            mean = model(torch.tensor([made.input_ids]), labels=torch.tensor([labels])).loss.item()
        total, count = total + made.weight * mean * n, count + n
    assert report.first_loss == pytest.approx(total / count, abs=1e-4)


@pytest.mark.train
def test_packs_cannot_be_weighed(sums, tmp_path, tiny_llama):
    with pytest.raises(CotmillError, match="Say padding_free: true instead"):
        run(sums, tiny_llama, tmp_path / "out", "weighted", packing=True)


# Controls -----------------------------------------------------------------------------------------------


def trained_text(tokenizer, made) -> str:
    return tokenizer.decode([i for i, m in zip(made.input_ids, made.completion_mask, strict=True) if m])


def test_the_answer_alone(tokenizer):
    rows = [{**row("2 + 2?", STEPS), "answer": "6"}, {**row("2 + 2?", STEPS), "answer": None}]
    made = prepare(rows, tokenizer, None, parse("answer_only"))
    assert trained_text(tokenizer, made.rows[0]) == "The answer is 6.<|im_end|>"
    assert made.left_out == {"unanswered": 1}


def test_the_answer_line_is_one_that_verification_reads():
    import polars as pl

    from builders.schema import TRACES
    from curation.verification.verify import verdicts

    said = {"status": "ok", "answer_type": "number", "gold_value": "6", "answer": "The answer is 6."}
    assert verdicts(pl.DataFrame([said], schema=TRACES)).item() == "correct"


def test_filler_stands_before_the_last_step_and_the_length_is_met(tokenizer):
    (plain,) = prepare([row("2?", STEPS)], tokenizer, None).rows
    own = sum(plain.completion_mask)
    (made,) = prepare([row("2?", STEPS)], tokenizer, None, parse({"padding": {"tokens": own + 40}})).rows
    text = trained_text(tokenizer, made)
    assert sum(made.completion_mask) >= own + 40
    assert sum(made.completion_mask) - (own + 40) < len(tokenizer.encode(" ...", add_special_tokens=False))
    head, tail = STEPS.rsplit("The", 1)
    assert text.startswith(head + " ...")
    assert text.endswith(" ...The" + tail + "<|im_end|>")
    assert text.replace(" ...", "") == STEPS + "<|im_end|>"


def test_filler_can_stay_out_of_the_loss(tokenizer):
    objective = parse({"padding": {"times": 2, "trained": False}})
    (made,) = prepare([row("2?", STEPS)], tokenizer, None, objective).rows
    assert trained_text(tokenizer, made) == STEPS + "<|im_end|>"


def test_a_trace_that_is_long_enough_stays_as_it_is(tokenizer):
    plain = prepare([row("2?", STEPS)], tokenizer, None).rows
    assert prepare([row("2?", STEPS)], tokenizer, None, parse({"padding": {"tokens": 3}})).rows == plain


@pytest.mark.parametrize("name", ["weighted", "answer_only", "dpo"])
def test_a_column_that_is_not_there_is_named(tmp_path, tiny_llama, name):
    dataset = write(tmp_path / "d", sum_rows(2), config="pairs" if name == "dpo" else "default")
    with pytest.raises(CotmillError, match=r"has no column (answer|weight|chosen and rejected): .*"):
        train(dataset, TrainConfig(student=str(tiny_llama), objective=name), tmp_path / "out")


# Preference pairs ---------------------------------------------------------------------------------------


def pairs(count: int = 4) -> list[dict]:
    return [
        {
            "prompt": turn("user", f"What is {i} + {i}?"),
            "chosen": turn("assistant", f"The answer is {2 * i}."),
            "rejected": turn("assistant", f"Let me think. The answer is {2 * i + 1}."),
        }
        for i in range(count)
    ]


def dpo(**fields) -> dict:
    return {"objective": "dpo", "dpo": {"logging_steps": 1, "bf16": False, "learning_rate": 1e-3, **fields}}


@pytest.mark.train
def test_preference_pairs_are_learnt(tmp_path, tiny_llama):
    """At the start student and reference are one, so that the loss is log 2."""
    dataset = write(tmp_path / "d", pairs(), config="pairs")
    report = train(dataset, TrainConfig(student=str(tiny_llama), **dpo(max_steps=8)), tmp_path / "out")
    assert report.first_loss == pytest.approx(0.6931, abs=1e-4)
    assert report.last_loss < 0.6
    assert (report.objective, report.rows) == ("dpo", 8)  # both sides of 4 pairs


def test_both_sides_follow_the_same_prompt_and_end(tokenizer):
    from training.dpo import pair

    chosen, rejected = prepare(pairs(1), tokenizer, None, parse("dpo")).rows
    made = pair(chosen, rejected)
    assert tokenizer.decode(made["prompt_ids"]).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(made["chosen_ids"]) == "The answer is 0.<|im_end|>"
    assert tokenizer.decode(made["rejected_ids"]) == "Let me think. The answer is 1.<|im_end|>"


def test_a_pair_with_one_side_too_long_is_left_out_whole(tokenizer):
    long = {**pairs(1)[0], "rejected": turn("assistant", "no " * 200)}
    made = prepare([long, *pairs(1)], tokenizer, 100, parse("dpo"))
    assert (len(made.rows), made.left_out) == (2, {"too_long": 1})


def test_a_dataset_without_pairs_says_how_to_get_them(sums, tmp_path, tiny_llama):
    with pytest.raises(CotmillError, match=r"no preference pairs .*\n.*curate\.pairs"):
        train(sums, TrainConfig(student=str(tiny_llama), objective="dpo"), tmp_path / "out")


# Distillation -------------------------------------------------------------------------------------------


def distill(teacher, **sft) -> dict:
    return {
        "objective": {"distill": {"teacher": str(teacher)}},
        "sft": {"logging_steps": 1, "bf16": False, "learning_rate": 1e-3, **sft},
    }


@pytest.fixture(scope="module")
def other_llama(tmp_path_factory):
    from tests.models import make_tiny_llama

    return make_tiny_llama(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.mark.train
def test_a_student_that_is_its_teacher_has_nothing_to_learn(sums, tmp_path, tiny_llama):
    report = train(sums, TrainConfig(student=str(tiny_llama), **distill(tiny_llama, max_steps=2)), tmp_path / "out")
    assert losses(report) == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.train
def test_a_student_comes_nearer_to_its_teacher(sums, tmp_path, tiny_llama, other_llama):
    config = TrainConfig(student=str(tiny_llama), **distill(other_llama, max_steps=12, learning_rate=1e-2))
    report = train(sums, config, tmp_path / "out")
    assert report.last_loss < 0.8 * report.first_loss


@pytest.mark.train
def test_a_student_learns_on_its_own_words(sums, tmp_path, tiny_llama, other_llama):
    config = TrainConfig(student=str(tiny_llama), **distill(other_llama, max_steps=2, lmbda=1.0, max_new_tokens=4))
    assert train(sums, config, tmp_path / "out").steps == 2


@pytest.mark.train
def test_a_teacher_with_another_vocabulary_is_refused(sums, tmp_path, tiny_llama):
    import shutil

    from transformers import AutoTokenizer

    teacher = shutil.copytree(tiny_llama, tmp_path / "teacher")
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tokenizer.add_tokens(["apples"])
    tokenizer.save_pretrained(teacher)
    with pytest.raises(CotmillError, match=r"has another vocabulary than the student \(384 of 385 tokens"):
        train(sums, TrainConfig(student=str(tiny_llama), **distill(teacher)), tmp_path / "out")
