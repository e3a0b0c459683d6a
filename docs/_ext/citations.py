"""Link papers that docstrings name to the list of references.

A docstring names its sources in words, as `help()` shows them: "Kühn and Schaub, *Global Ground Metric Learning ...*,
AISTATS 2025". Each title between asterisks must begin like that of an entry in `docs/references.bib`, whose number
is put behind it. A title that is missing there is a warning.
"""

import re
from pathlib import Path
from typing import Any

from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
TITLE = re.compile(r"(?<!\*)\*([^*]+)\*(?!\*)")


def plain(title: str) -> str:
    """Return the letters and digits of a title."""
    return re.sub(r"[\W_]+", "", title).casefold()


def titles(path: Path) -> dict[str, str]:
    """Return the key of each title, and of each short title, in a file of references."""
    found = {}
    for key, entry in parse_file(path).entries.items():
        for field in ("title", "shorttitle"):
            if field in entry.fields:
                found[plain(entry.fields[field])] = key
    return found


def key_of(title: str, known: dict[str, str]) -> str | None:
    """Return the key of the one entry whose title begins so, or None."""
    begun = plain(title)
    if begun in known:
        return known[begun]
    keys = {key for whole, key in known.items() if whole.startswith(begun)}
    return keys.pop() if len(keys) == 1 else None


def cite(text: str, known: dict[str, str]) -> tuple[str, list[str]]:
    """Put a citation behind each title of a section of references; return it with the titles that are not known."""
    missing = []

    def cited(match: re.Match[str]) -> str:
        key = key_of(match[1], known)
        if key is None:
            missing.append(match[1])
            return match[0]
        return f"{match[0]} :cite:p:`{key}`"

    return TITLE.sub(cited, text), missing


def process(app: Sphinx, _what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Cite in the section `References` of a docstring, which is its last."""
    heads = [at for at, line in enumerate(lines) if line == "References" and lines[at + 1 : at + 2] == ["-" * 10]]
    if heads:
        start = heads[-1] + 2
        text, missing = cite("\n".join(lines[start:]), app.config.known_titles)
        for title in missing:
            logger.warning("%s cites %r, which docs/references.bib does not have", name, title)
        lines[start:] = text.split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Cite before napoleon rewrites the sections."""
    app.add_config_value("known_titles", {}, "env")
    app.connect(
        "config-inited", lambda _, config: setattr(config, "known_titles", titles(Path(app.srcdir, "references.bib")))
    )
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
