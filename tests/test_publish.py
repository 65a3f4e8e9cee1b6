"""Publishing, with the real clients and a Hub on loopback: what arrives, what is sent, what happens when things break.

The clients run in one other process, as they read `HF_ENDPOINT` and its kin when they are imported. With a token and
`COTMILL_TEST_HUB_REPO` the tests marked `hub` do the same on the real Hub.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from builders.errors import CotmillError
from curation.config import CurateConfig
from curation.packaging.dataset import write_dataset
from curation.publishing.hub import check_revision, hidden, parse_repo, patiently
from tests.corpora import corpus_of, trace
from tests.hub import READER, TOKEN, Hub

COTMILL = [sys.executable, "-m", "cotmill"]
REAL = os.environ.get("COTMILL_TEST_HUB_REPO", "")


# The Hub, the clients, and datasets to publish ----------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(autouse=True)
def _calm(request):
    """No fault of one test meets the next one."""
    if "hub" in request.fixturenames:
        request.getfixturevalue("hub").faults.clear()


def environment(hub: Hub, home: Path, token: str | None = TOKEN) -> dict[str, str]:
    return {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": token or "",
    }


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    """Calls a function in a process whose Hub is `hub`; what goes wrong there comes back as `Refused`."""
    home, context = tmp_path_factory.mktemp("home"), get_context("spawn")
    with ProcessPoolExecutor(1, context, _settle, (environment(hub, home),)) as pool:

        def call(function, *arguments, token: str | None = TOKEN, **options):
            done, value = pool.submit(_run, function, arguments, options, token).result(timeout=240)
            if not done:
                raise Refused(value)
            return value

        yield call


def _settle(variables):
    assert "huggingface_hub" not in sys.modules  # it would have read other ones
    os.environ.update(variables)


class Refused(Exception):
    """What a user would have read."""


def _run(function, arguments, options, token):
    os.environ["HF_TOKEN"] = token or ""
    try:
        return True, function(*arguments, **options)
    except CotmillError as error:
        return False, str(error)


def publish(folder, repo, **options):
    import cotmill

    return cotmill.publish(folder, repo, **options)


def verify(repo, **options):
    import cotmill

    return cotmill.verify_published(repo, **options)


def compare(a, b):
    import cotmill

    return cotmill.diff(a, b)


def ask(where, query):
    import cotmill

    return json.loads(cotmill.sql(where, query, format="json"))


def rows(*numbers: int, **columns) -> pl.DataFrame:
    """Kept rows as a dataset has them, one per number."""
    return pl.DataFrame(
        [
            {
                "trace_id": f"{n:032x}",
                "teacher": "ab"[n % 2],
                "granularity": n % 3 + 1,
                "format": "original",
                "prompt": [{"role": "user", "content": f"What is {n}?"}],
                "completion": [{"role": "assistant", "content": f"It is {n}."}],
                "steps": [str(n), "."],
                "completion_tokens": n,
                "verdict": "correct",
                **columns,
            }
            for n in numbers
        ],
        schema_overrides={"granularity": pl.Int8},
    )


NO_ROWS = rows(0).clear()


def dataset(folder: Path, configs: dict[str, dict[str, pl.DataFrame]], removed: pl.DataFrame | None = None) -> Path:
    """A dataset on disk, as published: config -> split -> rows."""
    listed = []
    for config, splits in configs.items():
        for split, frame in splits.items():
            file = folder / "data" / config / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(file)
        paths = [{"split": split, "path": f"data/{config}/{split}-*.parquet"} for split in splits]
        listed.append({"config_name": config, "data_files": paths, **({"default": True} if not listed else {})})
    (folder / "removed").mkdir(parents=True, exist_ok=True)
    gone = NO_ROWS.with_columns(reason=pl.lit("x")) if removed is None else removed
    gone.write_parquet(folder / "removed" / "removed-00000-of-00001.parquet")
    if gone.height:
        listed.append({"config_name": "removed", "data_files": [{"split": "removed", "path": "removed/*.parquet"}]})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': listed})}---\n# A dataset\n")
    kept = {split: frame.height for split, frame in next(iter(configs.values())).items()}
    counts = {"rows": sum(kept.values()) + gone.height, "kept": sum(kept.values()), "removed": {"x": gone.height}}
    (folder / "dataset.json").write_text(json.dumps({"name": "n", **counts, "splits": kept}))
    return folder


def small(folder: Path, *numbers: int) -> Path:
    return dataset(folder, {"default": {"train": rows(*(numbers or range(5)))}})


SEEDS = itertools.count()


def large(folder: Path, files: int = 3) -> Path:
    """Splits of about a megabyte that cannot be compressed, other ones each time."""
    noise = np.random.default_rng(next(SEEDS))
    splits = {
        name: rows(*range(4)).with_columns(noise=pl.Series([noise.bytes(250_000).hex() for _ in range(4)]))
        for name in ["train", "validation", "test", "more"][:files]
    }
    return dataset(folder, {"default": splits})


def posts(hub: Hub, what: str) -> int:
    return sum(what in said for said in hub.requests)


# What arrives ------------------------------------------------------------------------------------------


CONFIGS = {
    "default": {"train": rows(*range(7)), "test": rows(8, 9)},
    "level-1": {"train": rows(3)},
    "ünï": {"train": rows(1, 2)},
}


@pytest.fixture(scope="module")
def published(hub, client, tmp_path_factory) -> Path:
    """`user/whole` at v1, and the directory it was made from."""
    folder = dataset(tmp_path_factory.mktemp("whole"), CONFIGS, rows(20, 21).with_columns(reason=pl.lit("x")))
    client(publish, folder, "user/whole", tag="v1")
    return folder


def loaded(name, config, split):
    from datasets import load_dataset

    return load_dataset(name, config, split=split).to_list()


@pytest.mark.parametrize(("config", "split"), [(c, s) for c, splits in CONFIGS.items() for s in splits])
def test_load_dataset_gives_the_rows(published, client, config, split):
    assert client(loaded, "user/whole", config, split) == CONFIGS[config][split].to_dicts()


def test_load_dataset_gives_the_removed_rows(published, client):
    expected = pl.read_parquet(published / "removed/*.parquet").to_dicts()
    assert client(loaded, "user/whole", "removed", "removed") == expected


def by_polars(url):
    return pl.scan_parquet(url).collect().to_dicts()


def by_pandas(path):
    import pandas

    return pandas.read_parquet(path)["trace_id"].to_list()


TRAIN = "data/default/train-00000-of-00001.parquet"


def test_polars_reads_the_file_at_its_url(published, client, hub):
    url = f"{hub.url}/datasets/user/whole/resolve/v1/{TRAIN}"
    assert client(by_polars, url) == CONFIGS["default"]["train"].to_dicts()


def test_pandas_reads_it_through_fsspec(published, client):
    found = client(by_pandas, f"hf://datasets/user/whole@v1/{TRAIN}")
    assert found == CONFIGS["default"]["train"]["trace_id"].to_list()


def test_what_cotmill_curates_loads_and_verifies(tmp_path, client):
    corpus = corpus_of(tmp_path / "c", [trace(f"p{i}", f"#### {12 + (i % 3 == 2)}", sample_index=i) for i in range(30)])
    write_dataset(corpus, CurateConfig(splits={"train": 0.5, "test": 0.5}), tmp_path / "d", name="n")
    client(publish, tmp_path / "d", "user/curated")
    assert client(verify, "user/curated", full=True)["findings"] == []
    here = pl.read_parquet(tmp_path / "d/data/default/train-*.parquet").to_dicts()
    assert client(loaded, "user/curated", "default", "train") == here


# What is sent ------------------------------------------------------------------------------------------


def test_what_is_unchanged_makes_no_commit(tmp_path, hub, client):
    folder = small(tmp_path / "d")
    client(publish, folder, "user/same")
    before, sent = len(hub.log("user/same")), hub.bytes_in
    again = client(publish, folder, "user/same")
    assert (again["made"], again["changes"], len(hub.log("user/same")), hub.bytes_in) == (False, [], before, sent)


def test_only_the_file_that_changed_is_sent(tmp_path, hub, client):
    client(publish, large(tmp_path / "d"), "user/part")
    sent = hub.bytes_in
    file = tmp_path / "d/data/default/train-00000-of-00001.parquet"
    pl.read_parquet(file).with_columns(verdict=pl.lit("x")).write_parquet(file)
    done = client(publish, tmp_path / "d", "user/part")
    assert [(c["action"], c["path"]) for c in done["changes"]] == [("changed", TRAIN)]
    assert hub.bytes_in - sent == file.stat().st_size


def test_what_is_gone_here_is_deleted_there_and_what_is_not_ours_stays(tmp_path, hub, client):
    client(publish, dataset(tmp_path / "d", {"default": {"train": rows(1), "test": rows(2)}}), "user/gone")
    hub.add_commit(
        "user/gone", "main", "by hand", {**hub.files("user/gone"), "LICENSE": hub.files("user/gone")["README.md"]}
    )
    done = client(publish, small(tmp_path / "e", 1), "user/gone")
    assert [c["path"] for c in done["changes"] if c["action"] == "deleted"] == [
        "data/default/test-00000-of-00001.parquet"
    ]
    assert {"LICENSE", ".gitattributes", TRAIN} <= set(hub.files("user/gone"))
    assert "data/default/test-00000-of-00001.parquet" not in hub.files("user/gone")


def test_a_dry_run_sends_nothing(tmp_path, hub, client):
    plan = client(publish, small(tmp_path / "d"), "user/dry", dry_run=True)
    assert (hub.repo("user/dry"), plan["parent"], len(plan["changes"])) == (None, None, 4)
    assert plan["size"] == sum(p.stat().st_size for p in (tmp_path / "d").rglob("*") if p.is_file())


def test_a_push_is_one_commit(published, hub):
    first, *rest = hub.log("user/whole")
    assert (first["title"], [c["title"] for c in rest]) == ("Publish n with cotmill", ["initial commit"])


def test_a_branch_gets_the_commit_and_main_stays(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/branch")
    main = hub.resolve("user/branch", "main")
    done = client(publish, small(tmp_path / "e", 7), "user/branch", revision="try/2")
    assert (hub.resolve("user/branch", "main"), hub.resolve("user/branch", "try/2")) == (main, done["commit"])
    assert {c["action"] for c in done["changes"]} == {"changed"}


def test_private_is_private_and_public_is_public(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/hidden", private=True)
    client(publish, small(tmp_path / "d"), "user/shown")
    assert (hub.repo("user/hidden")["private"], hub.repo("user/shown")["private"]) == (True, False)


def test_private_does_not_hide_what_is_public(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/public")
    with pytest.raises(Refused, match="exists and is public"):
        client(publish, small(tmp_path / "e", 9), "user/public", private=True)


def test_a_tag_that_is_taken_stops_the_push(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/tagged", tag="v1")
    before = len(hub.log("user/tagged"))
    with pytest.raises(Refused, match=r"has a tag v1 already, at another commit .*Nothing was pushed"):
        client(publish, small(tmp_path / "e", 9), "user/tagged", tag="v1")
    assert len(hub.log("user/tagged")) == before
    assert client(publish, tmp_path / "d", "user/tagged", tag="v1")["made"] is False


def test_a_tag_is_no_branch(tmp_path, client):
    client(publish, small(tmp_path / "d"), "user/fixed", tag="v1")
    with pytest.raises(Refused, match="a tag does not move"):
        client(publish, tmp_path / "d", "user/fixed", revision="v1")


def test_many_files_with_odd_names(tmp_path, hub, client):
    folder = small(tmp_path / "d")
    (folder / "pictures").mkdir()
    for i in range(300):
        (folder / "pictures" / f"größe {i} 日本 #?%&+'.svg").write_text(f"<svg>{i}</svg>")
    client(publish, folder, "user/many")
    assert sum(path.startswith("pictures/") for path in hub.files("user/many")) == 300
    assert hub.content("user/many", "pictures/größe 7 日本 #?%&+'.svg") == b"<svg>7</svg>"


def test_an_empty_split_is_published(tmp_path, hub, client):
    folder = dataset(tmp_path / "d", {"default": {"train": rows(1, 2), "test": NO_ROWS}})
    client(publish, folder, "user/empty")
    assert client(verify, "user/empty")["rows"]["default"] == {"train": 2, "test": 0}
    assert client(ask, "hf://datasets/user/empty", "select count(*) as n from kept") == [{"n": 2}]


def test_hidden_files_stay_here(tmp_path, hub, client):
    folder = small(tmp_path / "d")
    (folder / ".env").write_text("KEY=1")
    (folder / "data" / ".tmp-1-x.parquet").write_text("half")
    client(publish, folder, "user/plain")
    assert [p for p in hub.files("user/plain") if "/." in f"/{p}"] == [".gitattributes"]


def test_a_link_out_of_the_dataset_is_refused(tmp_path, client):
    folder = small(tmp_path / "d")
    (tmp_path / "diary.txt").write_text("dear diary")
    (folder / "notes.txt").symlink_to(tmp_path / "diary.txt")
    with pytest.raises(Refused, match=r"notes.txt is a link to .*outside of the dataset"):
        client(publish, folder, "user/linked")


# When things break -------------------------------------------------------------------------------------


def test_a_busy_hub_is_waited_for_as_long_as_it_says(tmp_path, hub, client):
    hub.fail("POST .*/commit/", status=429, headers={"Retry-After": "2"})
    start = time.monotonic()
    client(publish, small(tmp_path / "d"), "user/busy")
    assert time.monotonic() - start >= 2
    assert len(hub.log("user/busy")) == 2


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(tmp_path, hub, client):
    hub.fail("POST .*/commit/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(Refused, match=r"did not answer well in 1 tries \(HTTP 429\)"):
        client(publish, small(tmp_path / "d"), "user/busier")


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("POST .*/commit/", {"status": 500}),
        ("POST .*/preupload/", {"status": 503}),
        ("PUT /lfs/", {"status": 500}),
        ("PUT /lfs/", {"drop_after": 10_000}),
        ("POST .*/batch", {"drop_after": 0}),
        ("POST .*/commit/", {"drop_after": 0}),
        ("GET .*/refs", {"status": 500}),
        ("POST .*/repos/create", {"status": 502}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else value,
)
def test_one_failure_anywhere_is_survived(tmp_path, hub, client, where, fault, request):
    repo = f"user/fault-{abs(hash(request.node.name)) % 10**8}"
    hub.fail(where, **fault)
    client(publish, large(tmp_path / "d", 2), repo)
    assert hub.faults[0].times == 0
    assert [commit["title"] for commit in hub.log(repo)] == ["Publish n with cotmill", "initial commit"]
    assert client(verify, repo, full=True)["findings"] == []


@pytest.mark.parametrize("how", [{"status": 500}, {}], ids=["500", "silence"])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(tmp_path, hub, client, how):
    repo = f"user/lost-{len(how)}"
    hub.fail("POST .*/commit/", late=True, **how)
    done = client(publish, small(tmp_path / "d"), repo)
    assert [commit["title"] for commit in hub.log(repo)] == ["Publish n with cotmill", "initial commit"]
    assert done["commit"] == hub.resolve(repo, "main")


def push_late(folder, repo, path, text):
    """Publish, while between plan and push someone else does."""
    from huggingface_hub import HfApi

    from curation.publishing.hub import Repo
    from curation.publishing.push import plan_push, push

    plan = plan_push(folder, Repo(repo))
    HfApi().upload_file(path_or_fileobj=text, path_in_repo=path, repo_id=repo, repo_type="dataset")
    return push(folder, plan, message="late").commit


def test_of_two_publishers_one_wins_and_the_other_is_told(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/two")
    with pytest.raises(Refused, match=r"someone else has pushed meanwhile.*nothing of theirs was overwritten"):
        client(push_late, small(tmp_path / "e", 9), "user/two", "notes.md", b"mine")
    assert hub.content("user/two", "notes.md") == b"mine"
    assert hub.content("user/two", TRAIN) == (tmp_path / "d" / TRAIN).read_bytes()


@pytest.mark.parametrize(
    ("token", "says"), [("hf_" + "x" * 34, "Log in: hf auth login"), (None, "Log in"), (READER, "write access")]
)
def test_a_token_that_may_not_write_is_said(tmp_path, client, token, says):
    with pytest.raises(Refused, match=says) as told:
        client(publish, small(tmp_path / "d"), "user/locked", token=token)
    assert token is None or token not in str(told.value)


def test_a_token_that_expires_in_the_middle_is_said(tmp_path, hub, client):
    hub.fail("POST .*/commit/", status=401)
    with pytest.raises(Refused, match="refuses with 401"):
        client(publish, small(tmp_path / "d"), "user/expired")
    assert [commit["title"] for commit in hub.log("user/expired")] == ["initial commit"]


def test_a_download_that_breaks_goes_on(published, hub, client):
    hub.fail("GET .*/resolve/", drop_after=100)
    assert client(verify, "user/whole", full=True)["findings"] == []
    assert hub.faults[0].times == 0


def test_a_slow_hub_is_only_slow(tmp_path, hub, client):
    hub.fail(".", times=50, delay=0.05)
    assert client(publish, small(tmp_path / "d"), "user/slow")["made"]


def test_a_kill_in_the_middle_leaves_nothing_and_the_next_push_sends_the_rest(tmp_path, hub, client):
    folder = large(tmp_path / "d", 4)
    sizes = sorted(file.stat().st_size for file in folder.glob("data/*/*.parquet"))
    hub.fail("PUT /lfs/", times=2)  # those two pass
    hub.fail("PUT /lfs/", times=9, delay=60)
    before = posts(hub, "PUT /lfs/")
    command = [*COTMILL, "publish", str(folder), "--repo", "user/killed"]
    process = subprocess.Popen(command, env=environment(hub, tmp_path / "home"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while posts(hub, "PUT /lfs/") < before + 4 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)  # the two that pass are whole
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.faults.clear()
    assert [commit["title"] for commit in hub.log("user/killed")] == ["initial commit"]
    sent = hub.bytes_in
    client(publish, folder, "user/killed")
    assert [commit["title"] for commit in hub.log("user/killed")] == ["Publish n with cotmill", "initial commit"]
    assert hub.bytes_in - sent < sum(sizes[2:]) + 50_000
    assert client(verify, "user/killed", full=True)["findings"] == []


class Once:
    """Fails the first time."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def __call__(self) -> str:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return "done"


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), RuntimeError("as hf_xet says it")], ids=repr)
def test_a_broken_connection_is_tried_again(error):
    assert patiently(Once(error), "trying") == "done"


def test_a_bug_is_not_tried_again():
    with pytest.raises(ZeroDivisionError):
        patiently(Once(ZeroDivisionError()), "trying")


# What must not be seen ---------------------------------------------------------------------------------


def test_the_token_is_nowhere(tmp_path, hub):
    folder = small(tmp_path / "d")
    for fault, option in ((None, "--json"), ("POST .*/commit/", "--private"), ("POST .*/preupload/", "--json")):
        if fault:
            hub.fail(fault, status=400, headers={"x-error-message": f"bad token {TOKEN}"})
        done = run(hub, tmp_path / "home", "publish", folder, "--repo", f"user/quiet{len(fault or '')}", option)
        assert (done.returncode, "hf_***" in done.stderr) == ((2, True) if fault else (0, False))
        assert TOKEN not in done.stdout + done.stderr
    assert all(TOKEN.encode() not in blob.read_bytes() for blob in (hub.folder / "blobs").iterdir())
    assert all(TOKEN not in commit.read_text() for commit in (hub.folder / "repos").rglob("*.json"))


def test_a_token_in_the_lineage_is_never_published(tmp_path, hub, client):
    folder = small(tmp_path / "d")
    said = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**said, "lineage": {"key": TOKEN}}))
    for options in ({"private": True}, {"allow": ["secret", "personal"]}):
        with pytest.raises(Refused, match=r"dataset\.json holds the token you are logged in with") as told:
            client(publish, folder, "user/leak", **options)
        assert TOKEN not in str(told.value)
    assert hub.repo("user/leak") is None


KEY = "AKIA" + "IOSFODNN7EXAMPLE"


def leaky(folder: Path) -> Path:
    """A mail address in row 1, a key in row 2, and another in a removed row's list."""
    said = [{"role": "assistant", "content": f"Ask {who}"}] if (who := "pam@uni-bonn.de") else []
    frames = [rows(0), rows(1, completion=said), rows(2, steps=["a", f"key\n{KEY}"])]
    gone = rows(3, steps=[KEY]).with_columns(reason=pl.lit("x"))
    return dataset(folder, {"default": {"train": pl.concat(frames)}}, gone)


def test_personal_data_and_secrets_are_not_made_public(tmp_path, hub, client):
    with pytest.raises(Refused, match=r"2 aws_key \(secret\)(.|\n)*1 email \(personal\)") as told:
        client(publish, leaky(tmp_path / "d"), "user/leaky")
    assert f"{1:032x} completion: email pam… (15 characters)" in str(told.value)
    assert KEY not in str(told.value)
    assert "--allow personal --allow secret" in str(told.value)
    assert hub.repo("user/leaky") is None


def test_each_kind_is_waived_by_its_name(tmp_path, hub, client):
    with pytest.raises(Refused, match="aws_key") as told:
        client(publish, leaky(tmp_path / "d"), "user/waived", allow=["personal"])
    assert "email" not in str(told.value)
    assert client(publish, tmp_path / "d", "user/waived", allow=["personal", "secret"])["made"]


def test_a_private_repository_may_hold_them(tmp_path, client):
    assert client(publish, leaky(tmp_path / "d"), "user/own", private=True)["made"]


def test_a_dry_run_says_what_would_be_refused(tmp_path, client):
    found = client(publish, leaky(tmp_path / "d"), "user/dry2", dry_run=True)["found"]
    assert sorted((one["kind"], one["row"][-1]) for one in found) == [
        ("aws_key", "2"),
        ("aws_key", "3"),
        ("email", "1"),
    ]
    assert KEY not in json.dumps(found)


def test_an_unknown_waiver_is_refused(tmp_path, client):
    with pytest.raises(Refused, match="--allow all: say personal or secret"):
        client(publish, small(tmp_path / "d"), "user/x", allow=["all"])


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "user/../x",
        "user/x/../../y",
        "user",
        "user/x/y",
        "/user/x",
        "user/.x",
        "user/x.git",
        "us er/x",
        "user/a--b",
        "hf://user/x",
        "üser/x",
        "user/x@",
        "user/x@../y",
        "user/x@a b",
        "user/" + "x" * 100,
        "",
        "https://user/x",
    ],
)
def test_a_name_that_is_no_repository_is_refused(name):
    with pytest.raises(CotmillError, match="is no dataset repository"):
        parse_repo(name)


@pytest.mark.parametrize(
    "name", ["user/x", "datasets/user/x", "hf://datasets/user/x", "U-1/a.b_c@v1.0", "user/x@refs/pr/1"]
)
def test_names_of_repositories(name):
    assert "/" in parse_repo(name).name


@pytest.mark.parametrize("name", ["../x", "-x", "a..b", "a b", "x.lock", "", "a//b", "/a"])
def test_a_name_that_is_no_branch_is_refused(name):
    with pytest.raises(CotmillError, match="no name for a branch"):
        check_revision(name, "--revision")


def test_hidden_leaves_no_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-own-token")
    assert hidden(f"with my-own-token and {TOKEN}.") == "with hf_*** and hf_***."


# A dataset that is not what it says --------------------------------------------------------------------


def spoilt(folder: Path, how: str) -> Path:
    small(folder)
    file, card, manifest = folder / TRAIN, folder / "README.md", folder / "dataset.json"
    said = json.loads(manifest.read_text())
    match how:
        case "torn":
            file.write_bytes(file.read_bytes()[:-20])
        case "fewer rows":
            rows(1).write_parquet(file)
        case "shard":
            file.rename(file.with_name("train-00000-of-00002.parquet"))
        case "other columns":
            file.rename(file.with_name("train-00000-of-00002.parquet"))
            rows(5).with_columns(n=1).write_parquet(file.with_name("train-00001-of-00002.parquet"))
        case "no config":
            rows(1).write_parquet(file.with_name("extra.parquet"))
        case "leads out":
            card.write_text(card.read_text().replace("data/default/train", "../../train"))
        case "no card":
            card.unlink()
        case "checksum":
            listed = [{"@type": "cr:FileObject", "contentUrl": TRAIN, "sha256": "0" * 64}]
            (folder / "croissant.json").write_text(json.dumps({"distribution": listed}))
        case "manifest":
            configs = {"default": {"splits": {"train": {"rows": 4, "files": [TRAIN, "data/default/gone.parquet"]}}}}
            manifest.write_text(json.dumps({**said, "configs": configs}))
        case "features":
            info = [{"config_name": "default", "features": [{"name": "trace_id", "dtype": "int64"}]}]
            listed = yaml.safe_load(card.read_text().split("---")[1])
            card.write_text(f"---\n{yaml.safe_dump({**listed, 'dataset_info': info})}---\n")
    return folder


SPOILT = {
    "torn": "no readable Parquet file",
    "fewer rows": "says kept 5, the files hold 1",
    "shard": "1 of 2 files are there",
    "other columns": "other columns than",
    "no config": "in no config of README.md",
    "leads out": "leads out of the dataset",
    "no card": "README.md: missing",
    "checksum": "croissant.json says sha256 0000",
    "manifest": "says default has rows {'train': 4}, the files hold {'train': 5}",
    "features": "features differ from the files: `trace_id`",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_dataset_that_is_not_what_it_says_is_not_pushed(tmp_path, hub, client, how):
    with pytest.raises(Refused, match="does not hold what it says") as told:
        client(publish, spoilt(tmp_path / "d", how), "user/spoilt")
    assert SPOILT[how] in str(told.value)
    assert hub.repo("user/spoilt") is None


def upload(folder, repo):
    from huggingface_hub import HfApi

    HfApi().create_repo(repo, repo_type="dataset", exist_ok=True)
    HfApi().upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset")


def verified(repo, home, hub, *options):
    command = [*COTMILL, "verify-published", repo, "--json", *options]
    done = subprocess.run(command, env=environment(hub, home), capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)["findings"], done.stderr


def test_what_others_spoilt_is_found_on_the_hub(tmp_path, hub, client):
    client(upload, spoilt(tmp_path / "d", "fewer rows"), "user/edited")
    status, findings, _ = verified("user/edited", tmp_path, hub)
    assert status == 1
    assert {"where": "dataset.json", "problem": "says kept 5, the files hold 1"} in findings


def test_a_sound_dataset_verifies_with_status_0(published, hub, tmp_path):
    assert verified("user/whole@v1", tmp_path, hub) == (0, [], "")


def test_bytes_that_rotted_on_the_hub_are_found_when_all_are_read(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/rot")
    blob = hub.blob(hub.files("user/rot")[TRAIN])
    data = bytearray(blob.read_bytes())
    data[200] ^= 1
    blob.write_bytes(bytes(data))
    assert client(verify, "user/rot")["findings"] == []
    assert "its bytes have sha256" in client(verify, "user/rot", full=True)["findings"][0]["problem"]


def test_footers_are_enough(tmp_path, hub, client):
    client(publish, large(tmp_path / "d"), "user/footers")
    sent = hub.bytes_out
    assert client(verify, "user/footers")["findings"] == []
    assert hub.bytes_out - sent < sum(hub.blob(sha).stat().st_size for sha in hub.files("user/footers").values()) / 3


def test_a_hub_that_does_not_answer_is_no_finding(published, hub, client):
    hub.fail("GET .*/resolve/.*parquet", times=100, status=403)
    for call, arguments in [
        (verify, ["user/whole"]),
        (ask, ["hf://datasets/user/whole", "select count(*) from kept"]),
        (compare, [str(published / "data"), "hf://datasets/user/whole"]),
    ]:
        with pytest.raises(Refused, match="403") as told:
            client(call, *arguments)
        assert "Traceback" not in str(told.value)


def test_a_checksum_is_compared_without_reading(tmp_path, hub, client):
    folder = large(tmp_path / "d", 1)
    sha = hashlib.sha256((folder / TRAIN).read_bytes()).hexdigest()
    (folder / "croissant.json").write_text(json.dumps({"distribution": [{"contentUrl": TRAIN, "sha256": sha}]}))
    client(publish, folder, "user/sums")
    sent = hub.bytes_out
    found = client(verify, "user/sums")
    assert (found["findings"], found["hashed"]) == ([], 1)
    assert hub.bytes_out - sent < 300_000


def test_what_is_not_there_is_said(client):
    with pytest.raises(Refused, match="refuses with 404"):
        client(verify, "user/nothing")


# Two datasets ------------------------------------------------------------------------------------------


def test_rows_added_removed_and_changed(tmp_path, client):
    a = dataset(tmp_path / "a", {"default": {"train": rows(1, 2, 3, 4), "test": rows(5)}})
    changed = rows(2).with_columns(verdict=pl.lit("incorrect"), completion_tokens=pl.lit(9, pl.Int64))
    b = dataset(tmp_path / "b", {"default": {"train": pl.concat([rows(6), changed, rows(3, 5)]), "test": rows(4)}})
    [default] = [config for config in compare(a, b)["configs"] if config["config"] == "default"]
    assert (default["added"], default["removed"], default["changed"]) == (1, 1, 3)  # 6; 1; 2 in place, 4 and 5 moved
    assert default["columns"] == {"split_name": 2, "completion_tokens": 1, "verdict": 1}
    assert default["examples"]["added"] == [f"{6:032x}"]


def test_a_dataset_is_the_same_as_what_was_published_from_it(published, hub, client):
    start = hub.bytes_out
    found = client(compare, published, "hf://datasets/user/whole@v1")
    assert found["same"]
    assert [config["same_files"] for config in found["configs"]] == [2, 1, 1, 1]
    assert hub.bytes_out - start < 60_000  # footers, README, and the factor table's columns


def test_two_revisions(tmp_path, hub, client):
    client(publish, small(tmp_path / "d"), "user/twice", tag="v1")
    client(publish, small(tmp_path / "e", 0, 1, 2, 3, 4, 5), "user/twice")
    [default, _] = client(compare, "hf://datasets/user/twice@v1", "hf://datasets/user/twice")["configs"]
    assert (default["rows"], default["added"], default["removed"], default["changed"]) == ((5, 6), 1, 0, 0)


def test_columns_that_come_go_and_change_type(tmp_path):
    a = dataset(tmp_path / "a", {"default": {"train": rows(1, 2).drop("steps")}})
    b = dataset(tmp_path / "b", {"default": {"train": rows(1, 2).cast({"granularity": pl.Int64}).drop("verdict")}})
    default = compare(a, b)["configs"][0]
    assert (default["new_columns"], default["lost_columns"]) == (["steps"], ["verdict"])
    assert default["retyped"] == {"granularity": "TINYINT -> BIGINT"}
    assert default["changed"] == 0


def test_the_factor_table_side_by_side(tmp_path):
    # a at level 1, two rows of 4 and 6 tokens; in B one of them was wrong and is removed.
    one = rows(0, 0).with_columns(trace_id=pl.Series(["x", "y"]), completion_tokens=pl.Series([4, 6]))
    gone = one[1:].with_columns(verdict=pl.lit("incorrect"), reason=pl.lit("x"))
    a, b = (
        dataset(tmp_path / "a", {"default": {"train": one}}),
        dataset(tmp_path / "b", {"default": {"train": one[:1]}}, gone),
    )
    [row] = compare(a, b)["factors"]
    assert (row["rows"], row["mean_tokens"], row["accuracy"]) == ((2, 1), (5.0, 4.0), (1.0, 0.5))


def test_rows_without_ids_are_a_heap(tmp_path):
    a = dataset(tmp_path / "a", {"default": {"train": pl.DataFrame({"x": [1, 1, 2]})}})
    b = dataset(tmp_path / "b", {"default": {"train": pl.DataFrame({"x": [2, 1, 3]})}})
    default = compare(a, b)["configs"][0]
    assert (default["added"], default["removed"], default["changed"]) == (1, 1, 0)


def test_a_config_that_only_one_has(tmp_path):
    a = dataset(tmp_path / "a", {"default": {"train": rows(1)}})
    b = dataset(tmp_path / "b", {"default": {"train": rows(1)}, "extra": {"train": rows(1, 2)}})
    extra = next(config for config in compare(a, b)["configs"] if config["config"] == "extra")
    assert (extra["rows"], extra["added"], extra["removed"]) == ((0, 2), 2, 0)


# SQL at a distance -------------------------------------------------------------------------------------


def test_the_views_are_those_of_the_directory(published, client):
    names = "select table_name as name from information_schema.tables order by 1"
    assert client(ask, "hf://datasets/user/whole@v1", names) == ask(published, names)
    assert [row["name"] for row in ask(published, names)] == ["kept", "level-1", "removed", "ünï"]


@pytest.mark.parametrize("view", ["kept", "removed", '"level-1"', '"ünï"'])
def test_a_view_far_away_holds_what_the_local_one_does(published, client, view):
    query = f"select * from {view} order by trace_id"
    assert client(ask, "hf://datasets/user/whole@v1", query) == ask(published, query)


def test_a_query_reads_the_columns_and_groups_it_needs(tmp_path, hub, client):
    n, noise = 40_000, np.random.default_rng(0).bytes(2_000_000).hex()
    said = [noise[100 * i :][:100] for i in range(n)]
    frame = pl.DataFrame({"trace_id": [f"{i:032x}" for i in range(n)], "n": range(n), "said": said})
    folder = dataset(tmp_path / "d", {"default": {"train": frame}})
    frame.write_parquet(folder / TRAIN, row_group_size=4_000)
    size = (folder / TRAIN).stat().st_size
    client(publish, folder, "user/wide")
    for query, share in [("select sum(n) as x from kept", 0.1), ("select said from kept where n = 12345", 0.2)]:
        sent = hub.bytes_out
        client(ask, "hf://datasets/user/wide", query)
        assert 0 < hub.bytes_out - sent < size * share, query


@pytest.mark.parametrize("path", ["data/default/train-00000-of-00001.parquet", ""])
def test_a_part_of_a_repository(published, client, path):
    where = f"hf://datasets/user/whole@v1/{path}"
    view = "data" if path else "kept"
    assert client(ask, where, f"select count(*) as n from {view} where split_name = 'train'") == [{"n": 7}]


def test_one_file_on_the_web(published, hub, client):
    url = f"{hub.url}/datasets/user/whole/resolve/v1/{TRAIN}"
    assert client(ask, url, "select max(completion_tokens) as n from data") == [{"n": 6}]


def test_any_file_system_of_fsspec(published):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(published), "/bucket", recursive=True)
    assert ask("memory://bucket", "select count(*) as n from kept") == [{"n": 9}]


@pytest.mark.parametrize(
    "sql",
    [
        "copy kept to 'hf://datasets/user/whole@v1/x.parquet'",
        "copy kept to '/tmp/x.parquet'",
        "select * from 'hf://datasets/user/whole/README.md'",
        "select * from read_text('/etc/hostname')",
        "select * from read_parquet('hf://datasets/user/curated/data/default/train-00000-of-00001.parquet')",
        "install httpfs",
        "drop view kept",
    ],
)
def test_a_query_far_away_reads_and_reads_only_its_dataset(published, client, sql):
    with pytest.raises(Refused):
        client(ask, "hf://datasets/user/whole@v1", sql)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("hf://datasets/user/nothing", "refuses with 404"),
        ("hf://datasets/user/whole@v9", "refuses with 404"),
        ("hf://datasets/user/whole@v1/nowhere", "there are no files"),
        ("hf://user/whole", "is no dataset repository"),
        ("http://127.0.0.1:9/x.parquet", "cannot be read"),
        ("http://127.0.0.1:9/x", "The web has no folders"),
        ("nosuch://x/y", "nosuch"),
        ("s3://bucket/x.parquet", "pip install s3fs"),
    ],
)
def test_what_cannot_be_asked_is_said(published, client, where, says):
    with pytest.raises(Refused, match=says) as told:
        client(ask, where, "select 1")
    assert "Traceback" not in str(told.value)


# The command -------------------------------------------------------------------------------------------


def run(hub, home, *arguments):
    command = [*COTMILL, *map(str, arguments)]
    return subprocess.run(command, env=environment(hub, home), capture_output=True, text=True, timeout=120)


def test_the_command_says_what_it_did_and_draws_no_bars(tmp_path, hub):
    done = run(hub, tmp_path, "publish", large(tmp_path / "d", 1), "--repo", "user/command", "--tag", "v1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 added, 0 unchanged" in done.stdout
    assert "Tagged v1." in done.stdout


def test_the_directory_alone(tmp_path, hub):
    folder = small(tmp_path / "d")
    (folder / ".secret").write_text("x")
    requests = len(hub.requests)
    done = run(hub, tmp_path, "publish", folder, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "data", "dataset.json", "removed"]
    assert len(hub.requests) == requests
    again = run(hub, tmp_path, "publish", folder, "--out", tmp_path / "out")
    assert (again.returncode, "--overwrite" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("repo", "options", "says"),
    [
        (None, {}, "say where to: --repo USER/NAME"),
        ("user/x", {"out": "y"}, "say where to"),
        ("../x", {}, "is no dataset repository"),
        ("user/x", {"revision": "a..b"}, "no name for a branch"),
        ("user/x", {"tag": "a b"}, "no name for a branch or a tag"),
        ("user/x@one", {"revision": "two"}, "name two branches"),
        ("other/x", {}, "write access"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, client, repo, options, says):
    with pytest.raises(Refused, match=says):
        client(publish, small(tmp_path / "d"), repo, **options)


def test_a_mistake_is_one_message_and_status_2(tmp_path, hub):
    done = run(hub, tmp_path, "publish", tmp_path, "--repo", "user/x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path} is not a dataset of cotmill")
    assert "Traceback" not in done.stderr


def test_a_question_far_away_leaves_no_noise(published, tmp_path, hub):
    done = run(hub, tmp_path, "sql", "hf://datasets/user/whole@v1", "select count(*) as n from kept", "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n9\n", "")


def test_offline_is_offline(tmp_path, hub):
    command = [*COTMILL, "publish", str(small(tmp_path / "d")), "--repo", "user/x"]
    env = {**environment(hub, tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, "unset HF_HUB_OFFLINE" in done.stderr) == (2, True)


# The real Hub ------------------------------------------------------------------------------------------


@pytest.mark.hub
@pytest.mark.skipif(not REAL, reason="COTMILL_TEST_HUB_REPO and a token are not set")
@pytest.mark.parametrize("xet", ["0", "1"], ids=["lfs", "xet"])
def test_the_real_hub(tmp_path, xet):
    """On a branch of its own: push, push again, change, verify, load, ask, compare."""
    branch = f"test-{os.getpid()}-{xet}"
    env = {
        **os.environ,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": str(1 - int(xet)),
        "HF_HOME": str(tmp_path / "home"),
    }

    def real(*arguments):
        done = subprocess.run([*COTMILL, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    place = ["--repo", REAL, "--revision", branch, "--private", "--json"]
    first = real("publish", dataset(tmp_path / "d", CONFIGS), *place)
    assert first["made"]
    assert real("publish", tmp_path / "d", *place)["made"] is False
    second = real("publish", small(tmp_path / "e", *range(9)), *place)
    assert second["commit"] != first["commit"]
    assert real("verify-published", f"{REAL}@{branch}", "--full", "--json")["findings"] == []
    where = f"hf://datasets/{REAL}@{branch}"
    assert real("sql", where, "select count(*) as n from kept", "--format", "json") == [{"n": 9}]
    assert real("diff", tmp_path / "e", where, "--json")["same"]
    code = f"from datasets import load_dataset; print(len(load_dataset({REAL!r}, revision={branch!r}, split='train')))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "9"
    drop = f"from huggingface_hub import HfApi; HfApi().delete_branch({REAL!r}, branch={branch!r}, repo_type='dataset')"
    subprocess.run([sys.executable, "-c", drop], env=env, check=True)


def check(recipe):
    import cotmill

    return cotmill.check(recipe)


def test_the_recipe_beside_a_dataset_runs_from_the_hub(client, tmp_path):
    folder = small(tmp_path / "again")
    (folder / "recipe.yaml").write_text(
        "name: sums\nproblems: {source: words, count: 4}\nteacher: {kind: scripted, responses: ['#### 1']}\n"
    )
    client(publish, folder, "user/again")
    plan = client(check, "hf://datasets/user/again")
    assert (plan["name"], plan["problems"], plan["requests"]) == ("sums", 4, 4)


def test_a_dataset_without_a_recipe_cannot_be_run_again(client, tmp_path):
    client(publish, small(tmp_path / "silent"), "user/silent")
    with pytest.raises(Refused, match=r"no recipe\.yaml"):
        client(check, "hf://datasets/user/silent")
