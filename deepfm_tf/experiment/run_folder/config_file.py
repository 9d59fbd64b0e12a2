"""Files of options as they are written; `config` knows what they mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepfm_tf.errors import UserError


def read_config(path: Path) -> dict[str, Any]:
    """What a file says, by the names of its keys.

    Args:
        path: the file. Its name ends in .toml or .json.

    Raises:
        UserError: it cannot be read.
    """
    if path.suffix not in (".toml", ".json"):
        raise UserError(
            f"--config {path}: the name must end in .toml or .json."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = (
            json.loads(text, object_pairs_hook=_each_once)
            if path.suffix == ".json"
            else _toml(text)
        )
        if not isinstance(content, dict):
            raise UserError(
                'there must be an object of options, such as {"dropout": 0.1}'
            )
        return _each_once(
            (key.replace("-", "_"), value) for key, value in content.items()
        )
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}.") from error
    except ValueError as error:  # of the syntax, or of UTF-8
        raise UserError(f"--config {path}: {error}.") from error


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise UserError(f"{key} comes twice")
        content[key] = value
    return content


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
