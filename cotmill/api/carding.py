"""Cards of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def card(dataset: str | Path, *, check: bool = False) -> dict[str, Any]:
    """Write the card of a dataset anew, or hold it against the data.

    What stands between the marks for notes is kept, and so is the list of changes.

    Args:
        dataset: a directory with dataset.json, or a run that holds `dataset/`.
        check: write nothing; look whether every number, row and picture of the card is that of the data.

    Returns:
        dataset, checked, files (written), findings (file, line, said, should; empty when card and data agree).

    Raises:
        CotmillError: there is no dataset, or its license promises more than its sources give.
    """
    from curation.cards import check_card, write_card

    folder = Path(dataset)
    if (folder / "dataset" / "dataset.json").is_file():
        folder = folder / "dataset"
    if check:
        return {"dataset": str(folder), "checked": True, "files": [], "findings": check_card(folder)}
    files = [str(file) for file in write_card(folder)]
    return {"dataset": str(folder), "checked": False, "files": files, "findings": []}
