"""Draw plots into bytes that a page can hold."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from scggml._report.html import Raw, figure, paragraph

LARGEST = 400_000
"""Bytes of a drawing with lines above which it becomes a picture of pixels."""

METADATA = re.compile(rb"<metadata>.*?</metadata>", re.DOTALL)
"""When and by what a drawing was made, which differs from run to run."""


@dataclass(frozen=True)
class Drawing:
    """A plot with its words.

    Parameters
    ----------
    call
        Function of `sg.pl` with its arguments, which takes `show` and `save`.
    alt
        What is to be seen, for those who do not see it.
    caption
        What it means.
    """

    call: Callable[..., Any]
    alt: str
    caption: str

    def html(self) -> Raw:
        """Return the figure, or a sentence that says why there is none."""
        try:
            data, kind = drawn(self.call)
        except (KeyError, ValueError) as error:
            reason = " ".join(str(error.args[0] if error.args else error).split())
            return paragraph(f"Not drawn: {self.alt} {reason}", "soft")
        return figure(data, kind, self.alt, self.caption)


def drawn(call: Callable[..., Any]) -> tuple[bytes, str]:
    """Return a plot as bytes, the same for the same plot, and their media type."""
    with tempfile.TemporaryDirectory() as folder, plt.rc_context({"svg.hashsalt": "scggml", "svg.fonttype": "path"}):
        before = set(plt.get_fignums())
        try:
            path = Path(folder) / "figure.svg"
            call(show=False, save=path)
            data = METADATA.sub(b"", path.read_bytes())
            if len(data) <= LARGEST:
                return data, "image/svg+xml"
            path = path.with_suffix(".png")
            plt.figure(max(set(plt.get_fignums()) - before)).savefig(
                path, bbox_inches="tight", dpi=160, metadata={"Software": None}
            )
            return path.read_bytes(), "image/png"
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
