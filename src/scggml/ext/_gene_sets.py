"""Gene sets from a file, a dict or a long table."""

import os
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scggml._anndata.messages import choices, different_values
from scggml._core.checks import check_distinct
from scggml.ext._gmt import GeneSet, check_names, read_gmt, warn_of_weights
from scggml.ext._query import plain_name, unique

GeneSets = str | os.PathLike[str] | Mapping[str, Iterable[str]] | pd.DataFrame

SET, GENE = "source", "target"
"""Columns of a long table, as decoupler has them."""

WEIGHTS = ("weight", "weights", "mor", "sign", "direction")
"""Columns with weights or signs of genes in a set, by the names that decoupler and others give them."""

SETS = ("geneset", "gene_set", "gs_name", "set", "set_name", "term", "Term", "pathway", "name", "tf", "cell_type")
GENES = ("genesymbol", "gene_symbol", "gene", "Gene", "genes", "symbol", "gene_name", "feature", "ensembl_gene")
"""What other packages call them, for the message."""


def read_gene_sets(gene_sets: GeneSets) -> tuple[str, list[GeneSet]]:
    """Return the name of the collection and its sets."""
    if isinstance(gene_sets, str | os.PathLike):
        return read_gmt(_path(gene_sets))
    if isinstance(gene_sets, pd.DataFrame):
        sets = _of_table(gene_sets)
    elif isinstance(gene_sets, Mapping):
        sets = [GeneSet(_set_name(name), "", _genes(name, genes)) for name, genes in gene_sets.items()]
        _tell_signs_of_dicts(gene_sets)
    else:
        raise TypeError(
            f"gene_sets is a {type(gene_sets).__name__}: {str(gene_sets)[:60]}; pass the name of a GMT file, a dict "
            f"from names to lists of genes, or a DataFrame with the columns {SET!r} (set) and {GENE!r} (gene)."
        )
    if not sets:
        raise ValueError("gene_sets is empty; at least one set of genes is needed.")
    if not any(s.genes for s in sets):
        raise ValueError(f"gene_sets has {len(sets)} set(s), but no gene in any of them.")
    check_names(sets, "gene_sets")
    return "custom", sets


def _path(name: str | os.PathLike[str]) -> Path:
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home: then it is no file either
        return path


def _tell_signs_of_dicts(gene_sets: Mapping[Any, Any]) -> None:
    weights = [weight for genes in gene_sets.values() if isinstance(genes, Mapping) for weight in genes.values()]
    if any(isinstance(weight, Real) and weight < 0 for weight in weights):
        warn_of_weights("gene_sets is a dict of dicts with weights below 0", "the weights: {'set': list(genes)}")


def _of_table(net: pd.DataFrame) -> list[GeneSet]:
    """Return the sets of a long table, a row for each gene of each set."""
    lacking = [name for name in (SET, GENE) if name not in net]
    if lacking:
        found = {new: [c for c in net if c in known] for new, known in ((SET, SETS), (GENE, GENES)) if new in lacking}
        guess = {str(old[0]): new for new, old in found.items() if old}
        hint = f"gene_sets.rename(columns={guess})" if len(guess) == len(lacking) else "gene_sets.rename(columns=...)"
        raise ValueError(
            f"gene_sets is a DataFrame without {choices(lacking)}; it has the columns {choices(net)}. A long table has "
            f"the set in {SET!r} and the gene in {GENE!r}, a row for each gene: pass {hint}, or a dict of gene lists."
        )
    for name in (SET, GENE):
        if isinstance(net[name], pd.DataFrame):
            raise ValueError(f"gene_sets has {net[name].shape[1]} columns named {name!r}; leave one.")
    nameless = int(net[SET].isna().sum())
    if nameless:
        raise ValueError(f"gene_sets[{SET!r}] is missing in {nameless} of {len(net)} rows; drop them or name the sets.")
    for name in WEIGHTS:
        if name in net and net[name].nunique(dropna=False) > 1:
            warn_of_weights(f"gene_sets has weights that differ in the column {name!r}", f"the column {name!r}")
    # pandas takes 1, 1.0 and True for one set
    check_distinct(f"gene_sets[{SET!r}]", different_values(net[SET]))
    parts = net[GENE].groupby(net[SET].astype(object), sort=False)
    return [GeneSet(_set_name(name), "", _genes(name, genes)) for name, genes in parts]


def _set_name(name: Any) -> str:
    """Return the name of a set, which has to be a text or a number."""
    known = isinstance(name, str | Real) and not isinstance(name, bool | np.bool_)
    if not known or pd.isna(name) or not str(name).strip():
        raise ValueError(f"gene_sets: {name!r} is no name of a set; pass a text.")
    return str(name).strip()


def _genes(name: Any, genes: Any) -> list[str]:
    """Return the genes of a set, each once."""
    if isinstance(genes, str | bytes):
        raise TypeError(f"gene_sets[{name!r}]={genes!r} is one text; pass a list of genes, such as [{genes!r}].")
    single = isinstance(genes, np.ndarray) and genes.ndim == 0  # which calls itself iterable
    if not isinstance(genes, Iterable) or isinstance(genes, pd.DataFrame) or single:
        raise TypeError(f"gene_sets[{name!r}] is a {type(genes).__name__}; pass a list of genes.")
    return unique(_gene(name, gene) for gene in genes)


def _gene(name: Any, gene: Any) -> str | None:
    """Return the name of a gene; numbers are ids, such as those of Entrez."""
    known = isinstance(gene, str | Real) and not isinstance(gene, bool | np.bool_)
    if not known and gene is not None and gene is not pd.NA:
        raise TypeError(f"gene_sets[{name!r}] holds {gene!r}, a {type(gene).__name__}; pass names of genes.")
    number = float(gene) if isinstance(gene, Real) else 0.0
    if number < 0 or number % 1 > 0:  # neither is NaN
        raise ValueError(
            f"gene_sets[{name!r}] holds the number {gene!r}, which is no id of a gene; if these are weights, pass the "
            "genes that they belong to, such as list(weights.index)."
        )
    return plain_name(gene)
