"""Put a report together."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml import __version__
from scggml._anndata.reported import choice_of
from scggml._report import sections
from scggml._report.gather import Findings, Wish, as_call, gather
from scggml._report.html import Raw, bullets, code, facts, join, page, section, table, tag

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "numba", "anndata", "scanpy", "POT", "matplotlib")
"""Packages whose versions a report tells."""


def make_report(
    adata: AnnData, wish: Wish, *, source: str, title: str | None = None, n_genes: int = 15, command: str = ""
) -> str:
    """Return the page about a metric; what is computed for it is written into `adata`, too."""
    found = gather(adata, wish)
    title = title or default_title(found)
    parts = {
        "evidence": ("Held-out evidence", sections.evidence(found)),
        "genes": ("Genes", sections.genes(found, n_genes)),
        "pathways": ("Pathways", sections.pathways(found)),
        "cells": ("Which cells", sections.cells(found)),
        "design": ("Study design", sections.design(found)),
        "training": ("Training samples: no evidence", sections.in_sample(found)),
        "methods": ("How this was made", methods(found, wish, source, command)),
    }
    there = {name: (head, body) for name, (head, body) in parts.items() if body is not None}
    contents = tag(
        "nav",
        tag("ol", *[tag("li", tag("a", head, href=f"#{n}")) for n, (head, _) in there.items()]),
        aria_label="Contents",
    )
    header = tag("header", tag("h1", title), introduction(found, source), sections.heading(found), contents)
    body = [section(name, head, part) for name, (head, part) in there.items()]
    return page(
        title,
        files("scggml._report").joinpath("style.css").read_text(encoding="utf-8"),
        join(header, tag("main", *body)),
    )


def default_title(found: Findings) -> str:
    """Return a title that names what was learned."""
    reading = found.stored.reading
    names = found.evaluation.donors if found.evaluation is not None else {}
    what = " and ".join(names) if len(names) == 2 else str(reading.label_key)
    return f"What sets {what} apart" if len(names) == 2 else f"What goes with {what}"


def introduction(found: Findings, source: str) -> Raw:
    """Return what the page is about."""
    reading, n = found.stored.reading, len(np.atleast_1d(found.stored.record.get("samples", [])))
    text = (
        f"{source}: {found.adata.n_obs:,} cells of {n} samples with the label {reading.label_key!r}. From these labels "
        "of whole samples, scggml learned a metric on cells under which samples of one label are close, and those of "
        "different labels apart, in the sense of optimal transport. Whether this holds for new samples is what the "
        "verdict says."
    )
    return tag("p", text)


def methods(found: Findings, wish: Wish, source: str, command: str) -> Raw:
    """Return parameters, versions and the calls that make all of it again."""
    stored = found.stored
    settled = flat(stored.settled.to_params())
    reading = flat(stored.reading.to_params())
    frame = pd.DataFrame(
        [
            (name, value)
            for part in (settled, reading)
            for name, value in part.items()
            if not name.endswith("name") or "." in name
        ],
        columns=["parameter", "value"],
    )
    calls = [as_call(stored), *found.computed]
    commands = [*found.commands, *([command] if command else [])]
    parts: list[Raw | str | None] = [
        tag("h3", "Parameters of the metric"),
        table(frame, "As they were used."),
        f"Decided inside the training donors: {choice_of(stored)}." if choice_of(stored) else None,
        tag("h3", "To make it again"),
    ]
    if commands:
        parts += ["Commands that have written into the file, and the one that wrote this page:", code(commands)]
    parts += [
        "The metric and what was computed for this page, in Python (the seed is rng):",
        code(["import scggml as sg", *calls]),
    ]
    if found.there:
        parts.append(f"Results that the file held already: {', '.join(found.there)}.")
    if found.refused:
        parts += ["Not computed:", bullets(f"sg.{name}: {reason}" for name, reason in found.refused.items())]
    parts += [
        tag("h3", "Versions"),
        facts(versions()),
        facts({"metric": f"{stored.key}, fingerprint {stored.fingerprint}", "written": now()}),
    ]
    parts.append(
        "Method: Kühn and Schaub, Global Ground Metric Learning with Applications to scRNA data, AISTATS 2025, "
        "PMLR 258:3295-3303."
    )
    return join(*parts)


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {"scggml": __version__, "Python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def now() -> str:
    """Return the day, or that of SOURCE_DATE_EPOCH, by which builds are made the same again."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    when = datetime.now(UTC) if given is None else datetime.fromtimestamp(int(given), UTC)
    return when.strftime("%Y-%m-%d")


def flat(params: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested parameters as text by their path."""
    out: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{before}{name}.")
        else:
            out[before + name] = ", ".join(map(str, np.atleast_1d(value)))
    return out
