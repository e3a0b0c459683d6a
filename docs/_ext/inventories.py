"""Make inventories of other projects' documentation from a list, so that links need no network while pages are built.

`docs/inventories.toml` lists what our pages refer to, by project and page. A name that is missing there is a warning of
Sphinx, and so an error of `make docs`.
"""

import tomllib
import zlib
from pathlib import Path

HEADER = (
    "# Sphinx inventory version 2\n# Project: {}\n# Version: \n# The remainder of this file is compressed using zlib.\n"
)


def make_inventories(table: Path, folder: Path) -> dict[str, tuple[str, tuple[str]]]:
    """Write an inventory of each project in the table; return them as `intersphinx_mapping` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, entry in tomllib.loads(table.read_text(encoding="utf-8")).items():
        lines = [
            f"{name} {role} 1 {page.replace('$', name)} -\n"
            for page, listed in entry["pages"].items()
            for role, names in listed.items()
            for name in names
        ]
        path = folder / f"{project}.inv"
        path.write_bytes(HEADER.format(project).encode() + zlib.compress("".join(sorted(lines)).encode()))
        mapping[project] = (entry["url"], (str(path),))
    return mapping
