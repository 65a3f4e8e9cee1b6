"""Rows to learn from, and tokenizers whose every token can be read."""

from __future__ import annotations

from pathlib import Path

import polars as pl

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def turn(role: str, content: str | None) -> list[dict]:
    return [{"role": role, "content": content}]


def row(question: str, completion: str) -> dict:
    return {"prompt": turn("user", question), "completion": turn("assistant", completion)}


def sum_rows(count: int = 8) -> list[dict]:
    return [row(f"What is {i} + {i}?", f"The answer is {2 * i}.") for i in range(count)]


def write(folder: Path, rows: list[dict], *, config: str = "default", **types: pl.DataType) -> Path:
    """A dataset as curation lays it out. Columns of messages are known; others have the types that they show."""
    (folder / f"data/{config}").mkdir(parents=True)
    names = dict.fromkeys(name for made in rows for name in made) or dict.fromkeys(("prompt", "completion"))
    known = {"prompt": MESSAGES, "completion": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES, **types}
    schema = {name: known.get(name) for name in names}
    pl.DataFrame(rows, schema=schema).write_parquet(folder / f"data/{config}/train-00000-of-00001.parquet")
    return folder


def word_tokenizer(*texts: str, special: tuple[str, ...] = (), template: str | None = None):
    """One token for each word, blank and line break of `texts`; `special` ones for what must not be split."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s"), "isolated")
    words.decoder = decoders.Fuse()
    names = ["<unk>", "<bos>", "<eos>", *special]
    words.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=names))
    made = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<eos>"
    )
    made.add_special_tokens({"additional_special_tokens": list(special)})
    made.chat_template = template
    return made


def tokens_of(tokenizer, made) -> tuple[list[str], list[str]]:
    """Tokens without loss, which come first, and tokens with it."""
    texts = [tokenizer.decode([i]) for i in made.input_ids]
    start = made.completion_mask.index(1)
    assert made.completion_mask == [0] * start + [1] * (len(texts) - start)
    return texts[:start], texts[start:]
