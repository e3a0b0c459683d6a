"""Read a file with options of commands."""

import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from scggml._anndata.messages import choices


def read_config(path: Path, commands: Mapping[str, Collection[str]]) -> dict[str, dict[str, Any]]:
    """Return the options by command; what is not known is refused by name.

    Parameters
    ----------
    path
        TOML, or JSON by its ending, with a table for each command: `[learn]`, `[evaluate]`, ...
    commands
        Names of the options that each command has.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tables = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:  # both formats raise kinds of ValueError
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(tables, dict):
        raise ValueError(f"{path} holds a {type(tables).__name__}; it needs a table for each command.")
    found = {}
    for command, table in tables.items():
        if command not in commands:
            raise ValueError(f"{path}: {command!r} is no command; choose from {choices(commands)}.")
        if not isinstance(table, Mapping):
            raise ValueError(f"{path}: {command!r} is a {type(table).__name__}; write its options as a table.")
        known = commands[command]
        found[command] = {name.replace("-", "_"): value for name, value in table.items()}
        for name in found[command]:
            if name not in known:
                raise ValueError(f"{path}: {command!r} has no option {name!r}; choose from {choices(sorted(known))}.")
    return found
