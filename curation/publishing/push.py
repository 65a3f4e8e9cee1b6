"""A directory becomes one revision of a repository: what is new is uploaded first, then one commit shows all of it.

Uploads are invisible until the commit, and the Hub knows files by their content: a push that is killed leaves
nothing behind that anyone sees, and the next one sends only what is missing. The commit names the revision
that it was planned on; if that has moved, the Hub refuses it and nothing is overwritten.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from builders.errors import CotmillError
from builders.machine import cores
from curation.publishing.hub import Repo, connect, patiently

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.hf_api import RepoFile

OURS: Final = ("data/", "removed/", "pictures/", "exports/")
"""Folders that a dataset owns whole: what is in them on the Hub and not here is deleted. Other files there stay."""
MOST_FILES: Final = 10_000
"""Of one commit; the Hub advises against more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that a push adds, changes or deletes."""

    path: str
    action: Literal["added", "changed", "deleted"]
    size: int
    """Bytes; of a deleted file, of what goes."""


@dataclass(frozen=True)
class PushPlan:
    """What a push would do."""

    repo: str
    revision: str
    """Branch that gets the commit."""
    parent: str | None
    """Commit that the plan was made on; None: the repository or the branch is made."""
    private: bool
    """Whether the repository is private, or will be."""
    changes: list[Change]
    unchanged: int
    """Files that are there as they are here."""

    @property
    def size(self) -> int:
        """Bytes of the files that are added or changed: the most that is sent."""
        return sum(change.size for change in self.changes if change.action != "deleted")


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    repo: str
    revision: str
    commit: str
    """Id of the commit that holds the dataset."""
    url: str
    made: bool
    """False: everything was there already, and no commit was made."""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """What is there: of a repository that does not exist, nothing."""

    private: bool | None
    branches: Mapping[str, str]
    tags: Mapping[str, str]


def plan_push(
    folder: Path, repo: Repo, *, private: bool = False, tag: str | None = None, api: HfApi | None = None
) -> PushPlan:
    """Compare a directory with a branch of a repository.

    Args:
        folder: what is to be there.
        repo: its revision is a branch; default `main`.
        private: of a repository that is yet to be made.
        tag: name that the commit is to get.
        api: the client; default: a new one.

    Raises:
        CotmillError: the Hub cannot be reached or refuses; the repository is public and `private` was asked for; the
            tag names another commit; the revision is a tag; too many files for a commit.
    """
    api = api or connect()
    branch = repo.revision or "main"
    state = _state(api, repo.name)
    if private and state.private is False:
        raise CotmillError(
            f"{repo.name} exists and is public, so that --private would not hold; nothing was pushed.\n"
            "Make it private in its settings on the Hub, or publish without --private."
        )
    if branch in state.tags and branch not in state.branches:
        raise CotmillError(f"{repo.name} has a tag {branch}, and a tag does not move.\nName a branch: --revision")
    head = state.branches.get(branch)
    start = head or state.branches.get("main")  # a new branch starts as `main` is: its files are there already
    remote = _remote(api, repo.name, start) if start else {}
    changes, unchanged = _compare(folder, remote)
    if tag and (named := state.tags.get(tag)) and (changes or named != head):
        raise CotmillError(_other_tag(repo.name, tag, named) + " Nothing was pushed.\nChoose another: --tag")
    return PushPlan(repo.name, branch, head, private if state.private is None else state.private, changes, unchanged)


def push(folder: Path, plan: PushPlan, *, message: str, tag: str | None = None, api: HfApi | None = None) -> Pushed:
    """Carry out a plan.

    Args:
        folder: as it was when the plan was made.
        plan: from `plan_push`.
        message: title of the commit.
        tag: name for the commit.
        api: the client; default: a new one.

    Raises:
        CotmillError: the Hub refuses, the branch has moved since the plan was made, or the tag names another commit.
    """
    api = api or connect()
    if plan.parent is None:
        plan = _prepare(api, folder, plan)
    assert plan.parent is not None
    commit = _commit(api, folder, plan, plan.parent, message) if plan.changes else plan.parent
    if tag:
        _tag(api, plan.repo, tag, commit)
    return Pushed(plan.repo, plan.revision, commit, f"{api.endpoint}/datasets/{plan.repo}", commit != plan.parent, tag)


def _prepare(api: HfApi, folder: Path, plan: PushPlan) -> PushPlan:
    """Make the repository or the branch that is missing, and plan again on what is there now."""
    what = f"making {plan.repo}"
    patiently(lambda: api.create_repo(plan.repo, repo_type="dataset", private=plan.private, exist_ok=True), what)
    if plan.revision != "main":
        patiently(lambda: api.create_branch(plan.repo, branch=plan.revision, repo_type="dataset", exist_ok=True), what)
    again = plan_push(folder, Repo(plan.repo, plan.revision), private=plan.private, api=api)
    if again.parent is None:
        raise CotmillError(f"{what}: the Hub made it and does not show it yet; run the command again.")
    if again.private != plan.private or _writes(again) != _writes(plan):
        raise CotmillError(f"{what}: someone else has made it meanwhile.\nLook at what is there, then publish again.")
    return again


def _writes(plan: PushPlan) -> set[tuple[str, str]]:
    return {(change.path, change.action) for change in plan.changes}


def _commit(api: HfApi, folder: Path, plan: PushPlan, parent: str, message: str) -> str:
    """Upload what is new, then make the one commit; its id."""
    from huggingface_hub import CommitOperationAdd

    what = f"publishing to {plan.repo}"
    operations = _operations(folder, plan.changes)
    additions = [operation for operation in operations if isinstance(operation, CommitOperationAdd)]
    # free_memory would empty the operations, and a commit that is tried again needs them.
    patiently(
        lambda: api.preupload_lfs_files(
            plan.repo, additions, repo_type="dataset", revision=plan.revision, free_memory=False
        ),
        what,
    )
    mark = f"cotmill push {uuid.uuid4().hex}"

    def send() -> str:
        made = api.create_commit(
            plan.repo,
            operations,
            commit_message=message,
            commit_description=mark,
            repo_type="dataset",
            revision=plan.revision,
            parent_commit=parent,
        )
        return str(made.oid)

    return patiently(send, what, landed=lambda: _landed(api, Repo(plan.repo, plan.revision), parent, mark))


def _landed(api: HfApi, repo: Repo, parent: str, mark: str) -> str | None:
    """The commit that a lost answer spoke of: it stands above the parent, and says `mark`."""
    what = f"publishing to {repo.name}"
    commits = patiently(lambda: api.list_repo_commits(repo.name, repo_type="dataset", revision=repo.revision), what)
    for commit in commits:
        if commit.commit_id == parent:
            break
        if mark in commit.message:
            return str(commit.commit_id)
    if commits[0].commit_id == parent:
        return None
    raise CotmillError(
        f"{what}: someone else has pushed meanwhile ({commits[0].commit_id[:8]} instead of {parent[:8]}); "
        "nothing of theirs was overwritten.\nLook at what changed, then publish again."
    )


def _state(api: HfApi, repo: str) -> _State:
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> _State:
        try:
            private = api.dataset_info(repo, expand=["private"]).private
            refs = api.list_repo_refs(repo, repo_type="dataset")
        except RepositoryNotFoundError as error:
            if error.response.status_code != 404:
                raise
            return _State(None, {}, {})
        named = [{ref.name: ref.target_commit for ref in group} for group in (refs.branches, refs.tags)]
        return _State(bool(private), named[0], named[1])

    return patiently(ask, f"looking at {repo}")


def _remote(api: HfApi, repo: str, revision: str) -> Mapping[str, RepoFile]:
    from huggingface_hub.hf_api import RepoFile

    def ask() -> dict[str, RepoFile]:
        tree = api.list_repo_tree(repo, recursive=True, revision=revision, repo_type="dataset")
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    return patiently(ask, f"listing {repo}")


def _compare(folder: Path, remote: Mapping[str, RepoFile]) -> tuple[list[Change], int]:
    """What differs, by path, and how many files do not."""
    local = local_files(folder)
    if len(local) > MOST_FILES:
        raise CotmillError(
            f"{folder} holds {len(local):,} files, more than one commit takes ({MOST_FILES:,}); nothing was pushed.\n"
            "Write larger files."
        )
    with ThreadPoolExecutor(len(cores())) as pool:
        same = dict(zip(local, pool.map(lambda path: _same(local[path], remote.get(path)), local), strict=True))
    changes = [
        Change(path, "changed" if path in remote else "added", file.stat().st_size)
        for path, file in local.items()
        if not same[path]
    ]
    gone = [Change(p, "deleted", f.size) for p, f in remote.items() if p.startswith(OURS) and p not in local]
    return sorted([*changes, *gone], key=lambda change: change.path), sum(same.values())


def local_files(folder: Path) -> dict[str, Path]:
    """Path within `folder` -> file; hidden and unfinished files are left out.

    Raises:
        CotmillError: a link leads out of the folder.
    """
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    paths = {file.relative_to(folder).as_posix(): file for file in files}
    found = {path: file for path, file in paths.items() if not any(part.startswith(".") for part in path.split("/"))}
    root = folder.resolve()
    for path, file in found.items():
        if not file.resolve().is_relative_to(root):
            raise CotmillError(
                f"{folder}/{path} is a link to {file.resolve()}, outside of the dataset; nothing was pushed.\n"
                "Put a copy in its place, or remove it."
            )
    return found


def _same(file: Path, there: RepoFile | None) -> bool:
    """Whether the Hub holds these very bytes: by sha256 for large files, by git's id for others."""
    if there is None or there.size != file.stat().st_size:
        return False
    if there.lfs:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == there.lfs.sha256
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == there.blob_id


def _operations(folder: Path, changes: Sequence[Change]) -> list[CommitOperationAdd | CommitOperationDelete]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    return [
        CommitOperationDelete(change.path)
        if change.action == "deleted"
        else CommitOperationAdd(change.path, folder / change.path)
        for change in changes
    ]


def _tag(api: HfApi, repo: str, tag: str, commit: str) -> None:
    def ask() -> Any:
        held = _state(api, repo).tags
        if tag not in held:
            return api.create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
        if held[tag] != commit:
            raise CotmillError(
                _other_tag(repo, tag, held[tag]) + f" The dataset was pushed ({commit[:8]}), the tag left as it is.\n"
                "Choose another: --tag"
            )
        return None

    patiently(ask, f"tagging {repo}")


def _other_tag(repo: str, tag: str, commit: str) -> str:
    return f"{repo} has a tag {tag} already, at another commit ({commit[:8]})."
