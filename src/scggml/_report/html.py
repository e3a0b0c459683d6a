"""Pieces of an HTML page; every text of a user is escaped here."""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'sha256-{}'"
"""What a page may load: pictures that it holds, and its own style; nothing from elsewhere."""


@dataclass(frozen=True)
class Raw:
    """A piece of HTML, in which all texts are escaped already."""

    text: str


ABSENT = "\N{EN DASH}"
"""What stands in a table where there is nothing."""


def join(*parts: Raw | str | None) -> Raw:
    """Return pieces one after another; a plain text becomes a paragraph."""
    return Raw("\n".join(part.text if isinstance(part, Raw) else paragraph(part).text for part in parts if part))


def tag(name: str, *parts: Raw | str, **attributes: str) -> Raw:
    """Return an element; `class_` stands for the attribute `class`."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    inner = "".join(part.text if isinstance(part, Raw) else escape(part, quote=False) for part in parts)
    return Raw(f"<{name}{given}>{inner}</{name}>")


def paragraph(text: str, kind: str = "") -> Raw:
    """Return a paragraph."""
    return tag("p", text, **({"class_": kind} if kind else {}))


def bullets(items: Iterable[Raw | str]) -> Raw | None:
    """Return a list, None without items."""
    rows = [tag("li", item) for item in items]
    return tag("ul", *rows) if rows else None


def pair(*parts: Raw) -> Raw:
    """Return figures side by side where there is room."""
    return tag("div", *parts, class_="pair")


def code(lines: Iterable[str]) -> Raw:
    """Return lines of code."""
    return tag("pre", tag("code", "\n".join(lines)), tabindex="0")


def figure(data: bytes, kind: str, alt: str, caption: str) -> Raw:
    """Return a picture that is part of the page."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    image = Raw(f'<img src="{source}" alt="{escape(alt)}">')
    return tag("figure", image, tag("figcaption", caption))


def table(frame: pd.DataFrame, caption: str, *, p_values: Collection[str] = (), strong: Collection[int] = ()) -> Raw:
    """Return a table; numbers of a column are rounded alike, rows of the places `strong` stand out."""
    columns = [(name, frame.iloc[:, place]) for place, name in enumerate(frame)]  # two may have one name
    sides = [_side(pd.api.types.is_numeric_dtype(column)) for _, column in columns]
    head = [tag("th", str(name), scope="col", **side) for (name, _), side in zip(columns, sides, strict=True)]
    texts = [small(column) if name in p_values else rounded(column) for name, column in columns]
    body = []
    for place, row in enumerate(zip(*texts, strict=True)):
        cells = [tag("td", text, **side) for text, side in zip(row, sides, strict=True)]
        body.append(tag("tr", *cells, **({"class_": "strong"} if place in strong else {})))
    inner = tag("table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _side(right: bool) -> dict[str, str]:
    return {"class_": "number"} if right else {}


def rounded(column: pd.Series) -> list[str]:
    """Return the values of a column as text: fractions with as many places as the largest one needs for three digits.

    >>> rounded(pd.Series([7.363, -0.5, None])), rounded(pd.Series([0.0123, 0.9])), rounded(pd.Series([3, 44]))
    (['7.36', '-0.50', '–'], ['0.012', '0.900'], ['3', '44'])
    """
    if not pd.api.types.is_float_dtype(column):
        return [ABSENT if pd.isna(value) else str(value) for value in column]
    numbers = column.to_numpy(dtype=np.float64)
    there = numbers[np.isfinite(numbers)]
    whole = bool((there == np.round(there)).all())
    largest = float(np.abs(there).max(initial=0.0))
    places = 0 if whole else int(np.clip(2 - np.floor(np.log10(max(largest, 1e-9))), 0, 3))
    return [f"{value:.{places}f}" if np.isfinite(value) else ABSENT for value in numbers]


def small(column: pd.Series) -> list[str]:
    """Return p-values as text.

    >>> small(pd.Series([0.25, 0.00012, None]))
    ['0.250', '1.2e-04', '–']
    """
    return [ABSENT if pd.isna(value) else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}" for value in column]


def facts(pairs: Mapping[str, str]) -> Raw:
    """Return names with their values."""
    return tag("dl", *[part for name, value in pairs.items() for part in (tag("dt", name), tag("dd", value))])


def section(name: str, title: str, body: Raw) -> Raw:
    """Return a section of the page."""
    return tag("section", tag("h2", title, id=name), body)


def page(title: str, style: str, body: Raw) -> str:
    """Return the whole page."""
    inner = f"\n{style}"
    policy = POLICY.format(base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode("ascii"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{inner}</style>\n</head>\n<body>\n{body.text}\n</body>\n</html>\n"
    )
