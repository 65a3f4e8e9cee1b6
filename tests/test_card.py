"""The card: what it counts, that it says what the data say, and that no text of strangers breaks it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from builders.errors import CotmillError
from cotmill.api import card
from curation.cards import check_card, facts, render_card, write_card
from curation.cards import licenses as module
from curation.cards import measured as looking
from curation.cards.asked import prompts_of
from curation.cards.check import _text
from curation.cards.citations import bibliography, citations
from curation.cards.funnel import stage_of
from curation.cards.licenses import about, known, licenses, limits_of
from curation.cards.markdown import code, fenced, inline, share, size
from curation.cards.pictures import PICTURES
from curation.cards.render import NOTES
from curation.config import CurateConfig
from curation.packaging.dataset import read_manifest, write_dataset
from curation.passes import PASSES
from tests.corpora import corpus_of, trace

GOLDEN = Path(__file__).parent / "golden" / "card.md"
FINISHED = sorted((Path(__file__).parent.parent / "data_cards").glob("*/README.md"))
ASKED = "Ann has 3 red apples and buys 9 green ones at the market on Monday. How many has she got now?"


def rows() -> list[dict]:
    """14 traces, 2 levels, 2 teachers: 2 wrong, 1 from a benchmark, 1 a duplicate; 10 are kept."""
    found = [
        trace(f"p{i}", f"Take {i}, says {teacher} at {level}: 3 + 9 = 12. #### 12", teacher=teacher, granularity=level)
        for i in range(3)
        for level in (1, 2)
        for teacher in ("gpt-4o", "small")
    ]
    found[0] |= {"response": "#### 13", "answer": "#### 13"}
    found[1] |= {"response": "#### 14", "answer": "#### 14", "granularity": 2}
    found.append(trace("p7", "3 + 9 = 12. #### 12", question=ASKED, teacher="small", source="mine"))
    found.append(found[5] | {"trace_id": "f" * 32, "sample_index": 1})
    return found


def config(tmp_path, **more) -> CurateConfig:
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"question": ASKED, "answer": "12"}) + "\n")
    said = {
        "passes": ["verify", {"decontaminate": {"against": [str(bench)]}}],
        "keep": ["verify.verdict = 'correct'", "not coalesce(decontaminate.hit, false)", "granularity = 1 or true"],
        "license": "mit",
    }
    return CurateConfig(**{**said, **more})


@pytest.fixture
def made(tmp_path) -> Path:
    """The dataset of those traces, card and all."""
    corpus = corpus_of(tmp_path / "corpus", rows())
    write_dataset(corpus, config(tmp_path), tmp_path / "made", name="small", lineage={"recipe": "small.yaml"})
    return tmp_path / "made"


def body(folder: Path) -> str:
    return (folder / "README.md").read_text().split("\n---\n", 1)[1]


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Facts --------------------------------------------------------------------------------------------------


def test_the_funnel_by_hand(made):
    assert [(s["stage"], s["removed"], s["left"]) for s in facts(made)["funnel"]] == [
        ("sampled", 0, 14),
        ("verified", 2, 12),
        ("decontaminated", 1, 11),
        ("in scope", 0, 11),
        ("deduplicated", 1, 10),
        ("kept", 0, 10),
    ]


def test_a_reason_counts_first_and_among_others(tmp_path):
    both = [trace("p", "#### 13", granularity=3), trace("p", "#### 12", granularity=3), trace("p", "so #### 12")]
    said = CurateConfig(keep=["granularity <= 2", "verify.verdict = 'correct'"])
    write_dataset(corpus_of(tmp_path / "c", both), said, tmp_path / "d", name="n")
    assert [(r["reason"], r["first"], r["all"]) for r in facts(tmp_path / "d")["reasons"]] == [
        ("failed: granularity <= 2", 2, 2),
        ("failed: verify.verdict = 'correct'", 0, 1),
    ]


@pytest.mark.parametrize(
    ("reason", "stage"),
    [
        ("not selected", "listed"),
        ("no completion", "answered"),
        ("unknown: verify.verdict = 'correct'", "verified"),
        ("failed: not coalesce(decontaminate.hit, false)", "decontaminated"),
        ("failed: decontaminate.overlap < 0.5 and verify.verdict = 'x'", "decontaminated"),
        ("failed: repetition.ngrams < 0.5", "sound"),
        ("failed: source = 'a.b'", "in scope"),  # a text, no mark
        ("duplicate", "deduplicated"),
        ("duplicate: near_trace", "deduplicated"),
        ("common", "selected"),
    ],
)
def test_the_stage_of_a_reason(reason, stage):
    assert stage_of(reason) == stage


def test_contamination_is_counted_by_benchmark(made):
    found = facts(made)["contamination"]
    [one] = found["benchmarks"]
    assert one["benchmark"].endswith("/bench.jsonl")  # the last two parts of its path
    assert (found["looked"], one["traces"], one["first"], one["spans"], one["exact"]) == (14, 1, 1, 1, 1)
    assert one["examples"] == [ASKED]


def test_a_benchmark_without_a_hit_is_named(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "#### 12")])
    write_dataset(corpus, config(tmp_path), tmp_path / "d", name="n")
    [one] = facts(tmp_path / "d")["contamination"]["benchmarks"]
    assert (one["benchmark"], one["traces"], one["spans"]) == ("bench.jsonl", 0, 0)


def test_defects_are_measured_in_the_kept_texts(tmp_path):
    texts = ["Sure, here is it. #### 12", "3 + 9 = 13. #### 12", "Add 3 and 9. The answer is 12", "Nothing but 12"]
    corpus = corpus_of(tmp_path / "c", [trace("p", text) for text in texts])
    write_dataset(corpus, CurateConfig(keep="true"), tmp_path / "d", name="n")
    found = {one["defect"]: one["rows"] for one in facts(tmp_path / "d")["measured"]["defects"]}
    assert (found["arithmetic.wrong"], found["defects.no_answer_line"], found["talk.residue"]) == (1, 1, 1)


def test_lengths_are_those_of_the_texts(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "one two #### 12"), trace("q", "one two three four #### 12")])
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    [arm] = facts(tmp_path / "d")["measured"]["arms"]
    assert (arm["rows"], arm["words"], arm["words_median"], arm["tokens_median"]) == (2, 5.0, 5.0, 20.5)  # 4, 6; 15, 26


def test_many_rows_are_measured_by_a_sample_that_order_does_not_change(made, monkeypatch):
    monkeypatch.setattr(looking, "LOOKED", 4)
    before = facts(made)["measured"]
    file = next((made / "data/default").iterdir())
    pl.read_parquet(file).reverse().write_parquet(file)
    assert before["rows"] == 4
    assert facts(made)["measured"] == before


def test_of_reasoning_set_apart_all_is_measured(tmp_path):
    row = trace("p", "#### 12", reasoning="one two three", answer="#### 12")
    write_dataset(corpus_of(tmp_path / "c", [row]), CurateConfig(), tmp_path / "d", name="n")
    assert facts(tmp_path / "d")["measured"]["arms"][0]["words"] == 5


def test_samples_show_one_problem_at_several_levels(tmp_path):
    told = [trace(f"p{i}", f"{level} #### 12", granularity=level) for i in range(3) for level in range(1, 6)]
    write_dataset(corpus_of(tmp_path / "c", told), CurateConfig(), tmp_path / "d", name="n")
    found = facts(tmp_path / "d")["samples"]
    assert [row["granularity"] for row in found] == [1, 3, 5]
    assert len({row["prompt"] for row in found}) == 1


def test_without_gold_and_tokens_there_are_no_numbers(tmp_path):
    row = trace("p", "maybe 12", gold=None, gold_value=None, completion_tokens=None, granularity=None, teacher="übung")
    write_dataset(corpus_of(tmp_path / "c", [row]), CurateConfig(keep="true"), tmp_path / "d", name="ohne Lösung")
    assert "| übung | - | original | 1 | - | - | 1 | - | - |" in body(tmp_path / "d")
    assert check_card(tmp_path / "d") == []


def test_configs_share_files_and_rows_are_counted_once(tmp_path):
    said = config(tmp_path, configs=["teacher", "granularity"])
    write_dataset(corpus_of(tmp_path / "c", rows()), said, tmp_path / "d", name="n")
    found = facts(tmp_path / "d")
    kept = {(one["config"], one["split"]): one["rows"] for one in found["sizes"]}
    assert found["kept"] == kept["default", "train"] == 10
    assert kept["gpt-4o", "train"] + kept["small", "train"] == 10
    assert check_card(tmp_path / "d") == []


def test_a_missing_file_is_named(made):
    next((made / "data/default").iterdir()).unlink()
    with pytest.raises(CotmillError, match=r"train-00000-of-00001\.parquet is missing"):
        facts(made)


# Card and data ------------------------------------------------------------------------------------------


def test_a_new_card_agrees_with_its_data(made):
    assert check_card(made) == []


def test_every_number_is_checked(made):
    should = render_card(made)
    assert (made / "README.md").read_text() == should
    unchecked = []
    for found in re.finditer(r"\d+", should):
        wrong = str(int(found[0][-1] == "9") if len(found[0]) == 1 else int(found[0]) + 1)
        wrong = wrong if wrong != found[0] else "7"
        (made / "README.md").write_text(should[: found.start()] + wrong + should[found.end() :])
        if not _text(made / "README.md", should):
            unchecked.append(found[0])
    assert unchecked == []


def test_one_changed_row_is_found(made):
    file = next((made / "data/default").iterdir())
    kept = pl.read_parquet(file)
    kept.with_columns(response=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("#### 12!")).otherwise("response"))
    changed = kept.with_columns(
        source=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("another")).otherwise(pl.col("source"))
    )
    changed.write_parquet(file)
    assert {finding["file"] for finding in check_card(made)} == {"README.md", "croissant.json"}


def test_one_row_less_is_found_in_the_manifest_too(made):
    file = next((made / "data/default").iterdir())
    pl.read_parquet(file).head(9).write_parquet(file)
    said = [finding for finding in check_card(made) if finding["file"] == "dataset.json"]
    assert said[0] == {"file": "dataset.json", "line": None, "said": "rows: 14", "should": "rows: 13"}


def test_a_picture_of_other_numbers_is_found(made):
    write_card(made)
    assert sorted(path.name for path in (made / "pictures").iterdir()) == sorted(PICTURES)
    assert check_card(made) == []
    other = (made / "pictures/levels.png").read_bytes()
    (made / "pictures/levels.png").write_bytes(re.sub(rb"cotmill [0-9a-f]{4}", b"cotmill 0000", other))
    assert [finding["file"] for finding in check_card(made)] == ["pictures/levels.png"]


def test_notes_of_people_stay_and_are_not_checked(made):
    card = (made / "README.md").read_text()
    (made / "README.md").write_text(card.replace(NOTES[0], f"{NOTES[0]}\nMind the 7 apples.\n\n## Mine\n"))
    assert check_card(made) == []
    write_card(made, pictures=False)
    assert f"{NOTES[0]}\nMind the 7 apples.\n\n## Mine\n\n{NOTES[1]}" in (made / "README.md").read_text()


def test_a_dataset_built_over_another_goes_on_with_its_changes(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", rows())
    out = tmp_path / "d"
    write_dataset(corpus, CurateConfig(), out, name="n")
    write_dataset(corpus, CurateConfig(keep="true"), out, name="n", overwrite=True)
    new, old = [line for line in section(body(out), "Changes").splitlines() if line]
    assert re.fullmatch(r"- `[0-9a-f]{8}`: 13 of 14 traces\. Changed: `curate\.keep`\.", new)
    assert re.fullmatch(r"- `[0-9a-f]{8}`: 11 of 14 traces\. First version\.", old)
    assert check_card(out) == []


def test_the_same_dataset_has_the_same_card(made, tmp_path):
    corpus = corpus_of(tmp_path / "again", rows()[9:], rows()[:9])
    write_dataset(corpus, config(tmp_path), tmp_path / "d", name="small", lineage={"recipe": "small.yaml"})
    assert (tmp_path / "d/README.md").read_bytes() == (made / "README.md").read_bytes()


def test_the_command_writes_and_checks(made):
    assert card(made, check=True)["findings"] == []
    (made / "README.md").write_text("# Nothing\n")
    assert card(made, check=True)["findings"]
    assert len(card(made)["files"]) == 2 + len(PICTURES)
    assert card(made, check=True) == {"dataset": str(made), "checked": True, "files": [], "findings": []}


# Text of strangers --------------------------------------------------------------------------------------

NASTY = (
    "````\n# Buy now\n</details><script>alert(1)</script>\n| a | b |\n|---|---|\n~~~\n<!-- notes\n---\nlicense: x\n"
    "---\n[x](javascript:alert(1)) ![y](http://evil/z.png) \u202e \x00 #### 12"
)


def skeleton(text: str) -> list[str]:
    """Headings, tables, pictures, links and raw HTML of a document, as CommonMark with tables reads it."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    kinds = ("heading_open", "table_open", "html_block", "html_inline", "image", "link_open", "hr")
    return [f"{token.type} {token.attrs}" for token in [*tokens, *inner] if token.type in kinds]


def test_model_text_cannot_break_the_card(tmp_path):
    for name, text, teacher in (("good", "Well. #### 12", "small"), ("bad", NASTY, "a|b`<b>*\n# c")):
        corpus = corpus_of(tmp_path / f"{name}-corpus", [trace("p", text, teacher=teacher, question=text)])
        write_dataset(corpus, CurateConfig(keep="true"), tmp_path / name, name=name)
    assert skeleton(body(tmp_path / "bad")) == skeleton(body(tmp_path / "good"))


def test_names_cannot_break_the_card(tmp_path):
    keep = "question <> '| x | ``` <b> ' and verify.verdict = 'correct'"
    corpus = corpus_of(tmp_path / "c", [trace("p", "#### 12", source="<img src=x>|y"), trace("q", "#### 1")])
    write_dataset(corpus, CurateConfig(keep=keep), tmp_path / "bad", name="# a <b> |")
    write_dataset(corpus, CurateConfig(), tmp_path / "good", name="a")
    assert skeleton(body(tmp_path / "bad")) == skeleton(body(tmp_path / "good"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "-"),
        ("a_b", "a\\_b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a\n\n# b", "a \\# b"),
        ("a|b", "a\\|b"),
        ("\u202etxt", "\\\\u202etxt"),
    ],
)
def test_inline(text, said):
    assert inline(text) == said


def test_code_and_fences():
    assert (code("a`b"), code("x | y"), code(None)) == ("`` a`b ``", "`x \\| y`", "-")
    assert fenced("a\n````\nb") == "`````text\na\n````\nb\n`````"
    assert (share(0.0001), share(0.0), share(None), size(999), size(1_500_000)) == (
        "under 0.1%",
        "0.0%",
        "-",
        "999 B",
        "1.5 MB",
    )


# Licenses -----------------------------------------------------------------------------------------------


def from_teacher(**asked) -> dict:
    return {"teachers": [{"teacher": "t", "identity": {}, **asked}], "curate": {"license": None}}


def test_what_is_not_known_is_said():
    found = licenses(from_teacher(teacher="my-model"), [{"source": "my problems"}])
    assert [(one["names"], one["license"], one["url"]) for one in [*found["sources"], *found["teachers"]]] == [
        (["my problems"], "unknown", None),
        (["my-model"], "unknown", None),
    ]


@pytest.mark.parametrize(
    ("name", "license", "term"),
    [
        ("gpt-4o-2024-08-06", "OpenAI Terms of Use", "compete with OpenAI"),
        ("gemini-1.5-flash", "Gemini API Additional Terms of Service", "compete"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama 3.x Community License", 'begins with "Llama"'),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "Meta Llama 3 Community License", "may not be used to improve"),
        ("Qwen/Qwen2.5-7B-Instruct", "apache-2.0", None),
        ("deepseek-ai/DeepSeek-R1", "mit", None),
        ("smollm2-135m", "apache-2.0", None),
        ("openai/gpt-oss-20b", "apache-2.0", None),
    ],
)
def test_known_teachers(name, license, term):
    [one] = about([name], known().teachers)
    assert one["license"] == license
    assert term is None or any(term in text for text in one["terms"])


def test_presets_say_the_same_license():
    from builders.problems import presets

    known_of = {name: about([name], known().sources)[0] for name in presets()}
    differ = {name for name, preset in presets().items() if preset.license != known_of[name]["license"]}
    assert differ == {"openbook_qa"}  # its page on the Hub says `unknown`
    assert {one["citation"] for one in known_of.values()} == {preset.citation for preset in presets().values()}


def test_a_model_is_known_by_what_it_is_not_by_what_a_recipe_calls_it():
    manifest = from_teacher(teacher="mine", identity={"model": "Qwen/Qwen2.5-3B-Instruct"})
    assert licenses(manifest, [])["limits"] == ["non-commercial"]


@pytest.fixture
def nc(monkeypatch):
    """A table with a non-commercial source, one without derivatives and one to share alike."""
    url = "https://example.org"
    entry = {"url": url, "title": "x", "license": "cc-by-nc-4.0"}
    table = {
        "sources": [
            {**entry, "match": ["nc"], "title": "NC", "limits": ["non-commercial"]},
            {**entry, "match": ["nd"], "title": "ND", "limits": ["no-derivatives"]},
            {**entry, "match": ["sa"], "title": "SA", "limits": ["share-alike"]},
        ],
        "teachers": [],
    }
    monkeypatch.setattr(module, "known", lambda: module.Known.model_validate(table))


@pytest.mark.parametrize(
    ("claimed", "sources", "says"),
    [
        ("apache-2.0", ["nc"], r"NC is non-commercial .*example\.org.*\n.*`curate\.license: cc-by-nc-4\.0`"),
        ("cc-by-4.0", ["nc", "sa"], r"`curate\.license: cc-by-nc-sa-4\.0`"),
        ("cc-by-nc-4.0", ["nd"], r"Leave these problems out, or get leave"),
        ("cc-by-nc-4.0", ["nc"], None),
        ("cc-by-nc-sa-4.0", ["nc", "sa"], None),
        ("other", ["nd"], None),
        (None, ["nc", "nd"], None),
    ],
)
def test_a_license_promises_no_more_than_the_sources_give(nc, claimed, sources, says):
    manifest = {"teachers": [], "curate": {"license": claimed}}
    problems = [{"source": source} for source in sources]
    if says is None:
        assert licenses(manifest, problems)["license"] == claimed
    else:
        with pytest.raises(CotmillError, match=rf"(?s)`{re.escape(claimed)}` promises more.*{says}"):
            licenses(manifest, problems)


def test_a_removed_row_is_published_too_and_its_source_counts(nc, tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "#### 12"), trace("q", "#### 1", source="nc")])
    with pytest.raises(CotmillError, match="NC is non-commercial"):
        write_dataset(corpus, CurateConfig(license="mit"), tmp_path / "d", name="n")
    assert not (tmp_path / "d").exists()


def test_a_license_is_written_as_the_hub_takes_it():
    with pytest.raises(CotmillError, match=r"`Apache 2\.0` is no license id as the Hub takes it"):
        licenses({"curate": {"license": "Apache 2.0"}}, [])


def test_limits_of_creative_commons():
    assert [limits_of(name) for name in ("cc-by-nc-nd-4.0", "mit", None)] == [
        {"non-commercial", "no-derivatives"},
        set(),
        set(),
    ]


def test_every_entry_can_be_read_up():
    entries = [*known().sources, *known().teachers]
    assert all(entry.url.startswith("https://") for entry in entries)
    assert {entry.citation for entry in entries if entry.citation} <= set(bibliography())


# Citations, prompts -------------------------------------------------------------------------------------


def test_passes_say_where_they_come_from():
    found = citations(["verify", "decontaminate", "my_pass"], [], leveled=False)
    assert [one["name"] for one in found["passes"]] == ["verify", "decontaminate"]
    assert found["passes"][1]["source"] == PASSES["decontaminate"].source
    assert found["bibtex"][0].startswith("@inproceedings{brown2020gpt3,\n  title = {Language Models")


def test_the_study_is_cited_where_there_are_levels():
    assert [entry.split("{")[1][:16] for entry in citations([], [], leveled=True)["bibtex"]] == [
        "chen2025unveiling"[:16]
    ]
    assert citations([], [], leveled=False)["bibtex"] == []


def test_prompts_are_told_once(tmp_path):
    head = [["system", "Give only the | result."], ["user", "1 + 1?"], ["assistant", "2"]]
    arm = {"teacher": "a", "prompt": {"level": 1, "format": "original", "head": head}}
    arms = {"x": arm, "y": arm | {"teacher": "b"}, "z": {"teacher": "c", "prompt": {}}}
    assert prompts_of(arms) == [{"level": 1, "format": "original", "head": head, "teachers": ["a", "b"]}]
    corpus = corpus_of(tmp_path / "c", [trace("p", "#### 12")])
    with corpus.writing():
        corpus.add_arms(arms)
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    said = section(body(tmp_path / "d"), "How it was made")
    assert "| 1 | original | a, b | Give only the \\| result. | 1 |" in said
    assert "```text\nuser: 1 + 1?\n\nassistant: 2\n```" in said


# What others read ---------------------------------------------------------------------------------------


def test_the_hub_reads_the_metadata(made):
    from huggingface_hub import DatasetCard, DatasetCardData

    data = DatasetCard.load(made / "README.md").data
    assert isinstance(data, DatasetCardData)
    assert (data.license, data.pretty_name, data.language) == ("mit", "small", ["en"])
    assert (data.size_categories, data.task_categories) == (["n<1K"], ["text-generation"])
    [default, _] = data.to_dict()["dataset_info"]
    assert default["splits"][0]["num_examples"] == 10
    assert default["download_size"] == sum(path.stat().st_size for path in (made / "data/default").iterdir())


def test_the_metadata_gives_datasets_its_features(made):
    from datasets import load_dataset_builder

    builder = load_dataset_builder(str(made))
    file = next((made / "data/default").iterdir())
    assert list(builder.info.features) == pl.read_parquet(file).columns
    assert builder.info.splits["train"].num_examples == 10


def test_mlcroissant_accepts_the_metadata_and_loads_the_rows(made, monkeypatch):
    import mlcroissant

    monkeypatch.chdir(made)
    found = mlcroissant.Dataset("croissant.json")
    assert not found.metadata.ctx.issues.errors
    assert [records.id for records in found.metadata.record_sets] == ["default", "removed"]
    said = [row["default/trace_id"].decode() for row in found.records("default")]
    assert said == pl.read_parquet("data/default/*.parquet")["trace_id"].to_list()


# Golden -------------------------------------------------------------------------------------------------


def test_the_card_as_it_was_read_and_found_good(made):
    """Write it again after a look: COTMILL_WRITE_GOLDEN=1 pytest tests/test_card.py -k good."""
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "HASH", (made / "README.md").read_text())
    text = re.sub(r"(num_bytes|download_size|dataset_size): \d+", r"\1: BYTES", text)
    text = re.sub(r"[0-9.]+ kB", "SIZE", re.sub(r"`[\w.-]*/bench\.jsonl`", "`bench.jsonl`", text))
    if os.environ.get("COTMILL_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize("path", FINISHED, ids=lambda path: path.parent.name)
def test_the_finished_cards_add_up(path):
    text = path.read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    sampled = int(re.search(r"\| sampled \| ([\d,]+) \| \|", text)[1].replace(",", ""))
    gone = [
        int(n.replace(",", "")) for n in re.findall(r"^\| removed: .* \| -([\d,]+) \| [\d,]+ \|$", text, re.MULTILINE)
    ]
    kept = int(re.search(r"\*\*kept\*\* \| \*\*([\d,]+)\*\*", text)[1].replace(",", ""))
    told = {info["config_name"]: info["splits"] for info in metadata["dataset_info"]}
    assert sampled - sum(gone) == kept == sum(split["num_examples"] for split in told["default"])
    assert all((path.parent / picture).is_file() for picture in re.findall(r"\]\((pictures/\w+\.png)\)", text))


def test_there_are_finished_cards():
    assert [path.parent.name for path in FINISHED] == ["demo", "svamp_granularity"]


def test_read_manifest_has_prompts(made):
    assert read_manifest(made)["prompts"] == []
