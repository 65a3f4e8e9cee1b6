"""Reading YAML: in C where libyaml is there, and with `5e-5` as a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

# Ten times as fast as the loader in Python, and with the same result.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # one of two classes
    """PyYAML follows YAML 1.1 and takes `5e-5` for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(text: str) -> Any:
    """What `text` holds, as plain data.

    Raises:
        yaml.YAMLError: it is not YAML, or asks for more than plain data.
    """
    return yaml.load(text, _Loader)
