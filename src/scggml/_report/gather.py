"""Read all that a report shows from a cohort, and compute what is not there."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from scggml import ext, get, tl
from scggml._anndata.commands import read_commands
from scggml._anndata.held_out import has_held_out
from scggml._anndata.keys import CROSS_VALIDATION, Keys
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.reported import (
    MISSING,
    component_verdict,
    evaluated_label,
    has_genes,
    has_types,
    permutation_verdict,
    ranked_by_type,
)

REFUSED = (ImportError, KeyError, RuntimeError, TypeError, ValueError)
"""Errors of a step that a cohort does not allow; the report says so in its place."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Hold what a report is asked for.

    Parameters
    ----------
    key
        Key of the metric.
    cell_type_key
        Column of `.obs` with cell types; by default that of the stored ranking of genes.
    gene_sets
        GMT file.
    n_permutations
        Permutations of the test of the labels, 0 for none beyond a stored one.
    seed, n_jobs, progress
        As in `tl.ggml`.
    """

    key: str = "ggml"
    cell_type_key: str | None = None
    gene_sets: Path | None = None
    n_permutations: int = 0
    seed: int = 0
    n_jobs: int | None = None
    progress: bool = False


@dataclass(frozen=True, eq=False)
class Findings:
    """Hold what a report shows.

    Parameters
    ----------
    adata, samples
        Cells, and samples with distances, held out where `held_out`.
    stored
        The metric.
    cell_type_key
        Column of the cell types, None without.
    there, computed, commands
        Functions whose results the file held, calls that were made for the report, and command lines that had written
        into the file.
    refused
        What could not be computed, and why.
    """

    adata: AnnData
    stored: StoredMetric
    cell_type_key: str | None = None
    samples: AnnData | None = None
    held_out: bool = False
    evaluation: get.CrossValidation | None = None
    there: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def distances(self) -> str:
        """Key of the distances."""
        return Keys(self.stored.key).held_out if self.held_out else self.stored.key


def gather(adata: AnnData, wish: Wish) -> Findings:
    """Read or compute everything; what a cohort does not allow is left out with the reason."""
    key = wish.key
    stored = read_metric(adata, key)
    if wish.cell_type_key is not None:  # else all that asks for types would be refused, one after the other
        stored.reading.select(adata, quiet=True).categories(wish.cell_type_key, "cell_type_key")
    cell_type_key = wish.cell_type_key or ranked_by_type(adata, key)
    found = Findings(adata, stored, cell_type_key, commands=read_commands(adata))
    step = _Steps(found, wish)

    step("tl.component_test", component_verdict(adata, stored) is not None, tl.component_test, key=key)
    step("tl.cross_fit", has_held_out(adata, stored), tl.cross_fit, key=key)
    types = {} if cell_type_key is None else {"cell_type_key": cell_type_key}
    step("tl.cross_validate", evaluation_fits(adata, stored), tl.cross_validate, key=key, n_repeats=5, **types)
    if wish.n_permutations or permutation_verdict(adata) is not None:
        there = permutation_verdict(adata) is not None
        step("tl.permutation_test", there, tl.permutation_test, key=key, n_permutations=wish.n_permutations or 200)
    step("tl.rank_genes", has_genes(adata, key, **types), tl.rank_genes, key=key, **types)
    if cell_type_key is not None and has_held_out(adata, stored):
        step("tl.attribute", has_types(adata, key), tl.attribute, key=key, held_out=True, **types)
    if wish.gene_sets is not None:
        step("ext.enrich_gmt", False, ext.enrich_gmt, gene_sets=wish.gene_sets, key=key)

    held_out = has_held_out(adata, stored)
    samples = step("tl.distances", False, tl.distances, key=key, held_out=held_out)
    if samples is not None:
        named = Keys(key).held_out if held_out else key
        step("tl.covariates", False, tl.covariates, adata=samples, key=named)
    evaluation = get.cross_validation(adata) if evaluation_fits(adata, stored) else None
    return replace(found, samples=samples, held_out=held_out, evaluation=evaluation)


def evaluation_fits(adata: AnnData, stored: StoredMetric) -> bool:
    """Return whether a stored cross-validation is of this metric and its label."""
    try:
        found = get.cross_validation(adata)
    except MISSING:
        return False
    reading = stored.reading
    same = evaluated_label(adata, CROSS_VALIDATION)[:2] == (reading.sample_key, reading.label_key)
    return same and stored.key in set(found.scores["method"].astype(str))


@dataclass(frozen=True)
class _Steps:
    """Make calls, and keep what was called and what was refused."""

    found: Findings
    wish: Wish

    def __call__(
        self, name: str, there: bool, function: Callable[..., Any], *, adata: AnnData | None = None, **options: Any
    ) -> Any:
        if there:
            self.found.there.append(f"sg.{name}")
            return None
        common = {"rng": self.wish.seed, "n_jobs": self.wish.n_jobs, "progress": self.wish.progress}
        # distances draw as the metric was learned
        known = set(signature(function).parameters) - ({"rng"} if function is tl.distances else set())
        given = options | {option: value for option, value in common.items() if option in known}
        try:
            result = function(self.found.adata if adata is None else adata, **given)
        except REFUSED as error:
            self.found.refused[name] = " ".join(str(error.args[0] if error.args else error).split())
            return None
        shown = options | ({"rng": self.wish.seed} if "rng" in given else {})
        text = "".join(
            f", {option}={str(v)!r}" if isinstance(v, Path) else f", {option}={v!r}" for option, v in shown.items()
        )
        left = "samples = " if function is tl.distances else ""
        self.found.computed.append(f"{left}sg.{name}({'adata' if adata is None else 'samples'}{text})")
        return result


def as_call(stored: StoredMetric) -> str:
    """Return the call that learns a metric again."""
    reading = {name: value for name, value in stored.reading.to_params().items() if name != "seed"}
    sample, label = reading.pop("sample_key"), reading.pop("label_key", None)
    options = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in reading.items()}
    text = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"sg.tl.ggml(adata, {sample!r}, {label!r}{text}, rng={stored.reading.seed})"
