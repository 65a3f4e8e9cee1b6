"""The YAML block of README.md: what the Hub shows and filters by, and what `datasets.load_dataset` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from curation.cards.tables import Tables, schema_of
from curation.packaging.layout import DEFAULT, REMOVED, card_configs

SIZES: Final = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)


def metadata(manifest: Mapping[str, Any], counted: Mapping[str, Any], configs: Tables) -> str:
    """The block without its fences; keys and values as `huggingface_hub.DatasetCardData` takes them.

    Args:
        manifest: dataset.json.
        counted: `curation.cards.facts.facts`.
        configs: the files.
    """
    from huggingface_hub import DatasetCardData

    size = next((name for limit, name in SIZES if counted["kept"] < limit), "n>1T")
    listed = _configs(manifest, counted)
    data = DatasetCardData(
        pretty_name=manifest["name"],
        language=manifest["curate"]["language"],
        license=manifest["curate"]["license"],
        task_categories=["text-generation"],
        size_categories=[size],
        tags=[
            *("chain-of-thought", "reasoning", "distillation", "synthetic", "cotmill"),
            *(["preference", "dpo"] if manifest.get("pairs") else []),
        ],
        configs=listed,
        dataset_info=[_info(entry["config_name"], counted, configs) for entry in listed],
    )
    text: str = data.to_yaml()
    return text.strip()


def _configs(manifest: Mapping[str, Any], counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What can be loaded: `datasets` fails on a config or a split without rows, so those are not named."""
    if "configs" in manifest:
        return card_configs(manifest)
    found: dict[str, dict[str, Any]] = {}
    for one in counted["sizes"]:
        if one["rows"]:
            flag = {"default": True} if one["config"] == DEFAULT else {}
            entry = found.setdefault(one["config"], {"config_name": one["config"], **flag, "data_files": []})
            folder = REMOVED if one["config"] == REMOVED else f"data/{one['config']}"
            entry["data_files"].append({"split": one["split"], "path": f"{folder}/{one['split']}-*.parquet"})
    return list(found.values())


def _info(config: str, counted: Mapping[str, Any], configs: Tables) -> dict[str, Any]:
    """One entry of `dataset_info`. Bytes of a split are those of its columns before compression."""
    from datasets import Features

    splits = [one for one in counted["sizes"] if one["config"] == config and one["rows"]]
    return {
        "config_name": config,
        "features": Features.from_arrow_schema(schema_of(configs, config))._to_yaml_list(),
        "splits": [{"name": one["split"], "num_bytes": one["loaded"], "num_examples": one["rows"]} for one in splits],
        "download_size": sum(one["bytes"] for one in splits),
        "dataset_size": sum(one["loaded"] for one in splits),
    }
