"""A student becomes a model repository: one folder, one commit."""

from __future__ import annotations

from pathlib import Path

from builders.errors import CotmillError
from curation.publishing.hub import connect, parse_repo, patiently


def push_model(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload a trained student, with its card, as one commit.

    Args:
        folder: `model` of a training's directory.
        repo: `USER/NAME`, with `@BRANCH` after it or not; made if missing.
        private: of a repository that is made.

    Returns:
        Address of the commit.

    Raises:
        CotmillError: the folder holds no model, or the Hub refuses.
    """
    if not (folder / "config.json").is_file():
        raise CotmillError(f"{folder} holds no model to push. Train one: cotmill train DATASET --out DIR")
    where, api = parse_repo(repo), connect()
    patiently(
        lambda: api.create_repo(where.name, repo_type="model", private=private, exist_ok=True), f"making {where.name}"
    )
    done = patiently(
        lambda: api.upload_folder(
            repo_id=where.name,
            folder_path=folder,
            repo_type="model",
            revision=where.revision,
            commit_message="Student trained with cotmill",
        ),
        f"pushing to {where}",
    )
    return str(done.commit_url)
