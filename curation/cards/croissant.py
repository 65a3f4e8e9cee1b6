"""croissant.json: the dataset in the words of MLCommons' Croissant 1.0, for search engines and loaders.

Files are named relative to the dataset's directory, so a copy of it, wherever it lies, can be loaded by `mlcroissant`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from curation.cards.tables import Tables, files_of, schema_of

if TYPE_CHECKING:
    import pyarrow as pa

CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
LICENSES: Final = "https://spdx.org/licenses/"
SPELT: Final = {"apache-2.0": "Apache-2.0", "mit": "MIT"}
"""SPDX ids whose capitals the Hub drops and that `upper` does not give back."""


def croissant(
    directory: Path, manifest: Mapping[str, Any], configs: Tables, said: Mapping[str, Any], bibtex: Sequence[str]
) -> dict[str, Any]:
    """The metadata as plain data.

    Args:
        directory: of the dataset.
        manifest: dataset.json.
        configs: the files.
        said: `description`, `license` (SPDX, null where none is claimed) and `files` (path -> sha256).
        bibtex: entries to cite.
    """
    files = [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "encodingFormat": "application/x-parquet",
            "sha256": digest,
        }
        for path, digest in said["files"].items()
    ]
    sets, records = [], []
    for config in configs:
        paths = [file.relative_to(directory).as_posix() for file in files_of(configs, config)]
        name = f"files-{config}"
        sets.append(
            {
                "@type": "cr:FileSet",
                "@id": name,
                "name": name,
                "encodingFormat": "application/x-parquet",
                "includes": list(dict.fromkeys(paths)),
            }
        )
        records.append(
            {
                "@type": "cr:RecordSet",
                "@id": config,
                "name": config,
                "field": _fields(schema_of(configs, config), config, name),
            }
        )
    license = said["license"]
    spelt = f"{LICENSES}{SPELT.get(license, license.upper())}.html" if license else None
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest["name"],
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": said["description"],
        **({"license": spelt} if spelt else {}),
        "version": f"1.0.0+{manifest['fingerprint'][:12]}",
        **({"citeAs": "\n\n".join(bibtex)} if bibtex else {}),
        "inLanguage": manifest["curate"]["language"],
        "distribution": [*files, *sets],
        "recordSet": records,
    }


def _fields(schema: pa.Schema, config: str, files: str) -> list[dict[str, Any]]:
    """The columns of a config that Croissant 1.0 has a type for: plain ones, lists of those, lists of flat structs."""
    found = []
    for column in schema:
        extract = {"fileSet": {"@id": files}, "extract": {"column": column.name}}
        place = f"{config}/{column.name}"
        if (inner := _struct(column.type)) is not None:
            parts = [
                {
                    **_field(f"{place}/{part.name}"),
                    "dataType": _type(part.type)[0],
                    "source": {**extract, "transform": {"jsonPath": part.name}},
                }
                for part in inner
            ]
            found.append({**_field(place), "repeated": True, "subField": parts})
        elif (kind := _type(column.type))[0]:
            field = {**_field(place), "dataType": kind[0], "source": extract}
            found.append(field | ({"repeated": True} if kind[1] else {}))
    return found


def _field(place: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": place, "name": place}


def _struct(kind: pa.DataType) -> list[pa.Field] | None:
    """The fields of a list of structs, if all of them are plain."""
    import pyarrow as pa

    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return None
    fields = list(kind.value_type)
    return fields if all(_type(field.type)[0] and not _type(field.type)[1] for field in fields) else None


def _type(kind: pa.DataType) -> tuple[str | None, bool]:
    """Croissant's name of a column's type, and whether it is a list; (None, False): Croissant 1.0 has none."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _type(kind.value_type)[0], True
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "sc:Text", False
    if pa.types.is_boolean(kind):
        return "sc:Boolean", False
    if pa.types.is_integer(kind):
        return "sc:Integer", False
    if pa.types.is_floating(kind):
        return "sc:Float", False
    if pa.types.is_timestamp(kind):
        return "sc:Date", False
    return None, False
