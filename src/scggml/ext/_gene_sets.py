"""Gene sets from a file, a dict or a long table."""

import os
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scggml._anndata.messages import choices, different_values, warn
from scggml._core.checks import check_distinct
from scggml.ext._gmt import GeneSet, check_names, read_gmt
from scggml.ext._query import plain_name, unique

GeneSets = str | os.PathLike[str] | Mapping[str, Iterable[str]] | pd.DataFrame

SET, GENE = "source", "target"
"""Columns of a long table, as decoupler has them."""

SETS = ("geneset", "gene_set", "gs_name", "set", "set_name", "term", "Term", "pathway", "name", "tf", "cell_type")
GENES = ("genesymbol", "gene_symbol", "gene", "Gene", "genes", "symbol", "gene_name", "feature", "ensembl_gene")
"""What other packages call them, for the message."""


def read_gene_sets(gene_sets: GeneSets) -> tuple[str, list[GeneSet]]:
    """Return the name of the collection and its sets."""
    if isinstance(gene_sets, str | os.PathLike):
        return read_gmt(Path(gene_sets).expanduser())
    if isinstance(gene_sets, pd.DataFrame):
        sets = _of_table(gene_sets)
    elif isinstance(gene_sets, Mapping):
        sets = [GeneSet(_set_name(name), "", _genes(name, genes)) for name, genes in gene_sets.items()]
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
    if "weight" in net and net["weight"].nunique(dropna=False) > 1:
        warn(
            "gene_sets has weights that differ, but its sets are tested as they are: each gene counts alike, whatever "
            "its weight and its sign. Leave out the genes that do not belong, or drop the column 'weight'."
        )
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
    if not isinstance(genes, Iterable) or isinstance(genes, pd.DataFrame):
        raise TypeError(f"gene_sets[{name!r}] is a {type(genes).__name__}; pass a list of genes.")
    return unique(_gene(name, gene) for gene in genes)


def _gene(name: Any, gene: Any) -> str | None:
    """Return the name of a gene; numbers are ids, such as those of Entrez."""
    known = isinstance(gene, str | Real) and not isinstance(gene, bool | np.bool_)
    if not known and gene is not None and gene is not pd.NA:
        raise TypeError(f"gene_sets[{name!r}] holds {gene!r}, a {type(gene).__name__}; pass names of genes.")
    return plain_name(gene)
