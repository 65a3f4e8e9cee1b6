"""From datasets on disk to the Hub and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.publishing.push import PushPlan


def publish(
    dataset: str | Path,
    repo: str | None = None,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    out: str | Path | None = None,
    allow: Iterable[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Push a dataset to the Hub in one commit, or write the directory alone.

    Args:
        dataset: a directory with dataset.json, or a run that holds `dataset/`.
        repo: `USER/NAME`; made when it does not exist.
        private: make it so that only you see it; one that exists stays as it is.
        revision: branch that gets the commit; default `main`.
        tag: name for the commit.
        message: title of the commit.
        dry_run: only say what would change.
        out: instead of pushing, write what would be pushed into this directory.
        allow: `personal`, `secret`: what a public dataset may hold all the same.
        overwrite: replace what is at `out`.

    Returns:
        dataset, repo, revision, parent, private, changes, unchanged, size, found (personal data and secrets); and after
        a push commit, url, made, tag. With `out`: dataset, out, files, size.

    Raises:
        CotmillError: the dataset does not hold what it says, holds what must not be public, or the Hub refuses;
            nothing was pushed then.
    """
    from builders.errors import CotmillError
    from curation.asking.places import locate
    from curation.publishing import guard

    folder = _dataset(Path(dataset))
    allowed = _waivers(allow)
    if (repo is None) == (out is None):
        raise CotmillError("say where to: --repo USER/NAME for the Hub, or --out DIR for a directory alone")
    _check(folder)
    if out is not None:
        return _write(folder, Path(out), overwrite)
    assert repo is not None
    plan = _plan(folder, repo, revision, private, tag)
    place = locate(folder)
    guard.check_token(place)
    found = [] if plan.private else guard.search(place)
    summary = {"dataset": str(folder), **asdict(plan), "size": plan.size, "found": guard.as_plain(found)}
    if dry_run:
        return summary
    guard.refuse(found, allowed, plan.repo)
    return summary | _push(folder, plan, message, tag)


def verify_published(repo: str, *, full: bool = False) -> dict[str, Any]:
    """Check a published dataset: rows, features, configs, counts and checksums.

    Args:
        repo: `USER/NAME` or `USER/NAME@REVISION`.
        full: read every file and compare its sha256, too.

    Returns:
        The fields of `curation.publishing.verify.Verification`; `findings` is empty when all holds.
    """
    from curation.publishing.verify import verify_published as look

    return asdict(look(repo, full=full))


def diff(a: str | Path, b: str | Path) -> dict[str, Any]:
    """Compare two datasets, directories or `hf://datasets/USER/NAME[@REVISION]`.

    Returns:
        The fields of `curation.publishing.diff.Diff`: a, b, configs, factors; and `same`.
    """
    from curation.publishing.diff import diff as compare

    found = compare(_place(a), _place(b))
    return asdict(found) | {"same": found.same}


def _place(said: str | Path) -> str | Path:
    """A run stands for its dataset."""
    from curation.asking.places import is_url

    return said if is_url(said) or not (Path(said) / "dataset" / "dataset.json").is_file() else Path(said) / "dataset"


def _dataset(said: Path) -> Path:
    from curation.packaging.dataset import read_manifest

    folder = Path(_place(said))
    read_manifest(folder)
    return folder


def _waivers(allow: Iterable[str]) -> list[str]:
    from builders.errors import CotmillError
    from curation.publishing.guard import WAIVERS

    allowed = list(allow)
    if unknown := [name for name in allowed if name not in WAIVERS]:
        raise CotmillError(f"--allow {unknown[0]}: say {' or '.join(WAIVERS)}")
    return allowed


def _check(folder: Path) -> None:
    """A directory that is torn or edited by hand is not published."""
    from builders.errors import CotmillError
    from curation.asking.places import locate
    from curation.publishing.verify import verify

    if findings := verify(locate(folder)).findings:
        lines = "\n".join(f"  {finding.where}: {finding.problem}" for finding in findings)
        raise CotmillError(
            f"{folder} does not hold what it says:\n{lines}\nNothing was pushed. Make it again: cotmill curate CORPUS "
            f"--recipe RECIPE --out {folder} --overwrite"
        )


def _plan(folder: Path, repo: str, revision: str | None, private: bool, tag: str | None) -> PushPlan:
    from builders.errors import CotmillError
    from curation.publishing.hub import Repo, check_revision, parse_repo
    from curation.publishing.push import plan_push

    parsed = parse_repo(repo)
    if parsed.revision and revision and parsed.revision != revision:
        raise CotmillError(f"--repo {repo} and --revision {revision} name two branches; say one")
    branch = revision or parsed.revision
    for name, option in ((branch, "--revision"), (tag, "--tag")):
        if name is not None:
            check_revision(name, option)
    return plan_push(folder, Repo(parsed.name, branch), private=private, tag=tag)


def _push(folder: Path, plan: PushPlan, message: str | None, tag: str | None) -> dict[str, Any]:
    from cotmill.display import hub_bars
    from curation.packaging.dataset import read_manifest
    from curation.publishing.push import push

    with hub_bars():
        name = read_manifest(folder).get("name", folder.name)
        return asdict(push(folder, plan, message=message or f"Publish {name} with cotmill", tag=tag))


def _write(folder: Path, out: Path, overwrite: bool) -> dict[str, Any]:
    """Copy what a push would send, whole or not at all."""
    from builders.errors import Occupied
    from curation.packaging.dataset import in_its_place
    from curation.publishing.push import local_files

    files = local_files(folder)
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise Occupied(out, "files")
    with in_its_place(out) as made:
        for path, file in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, made / path)
    sizes = [file.stat().st_size for file in files.values()]
    return {"dataset": str(folder), "out": str(out), "files": len(files), "size": sum(sizes)}
