"""Read R's data files as the tree that the package rdata parses.

rdata's conversion to Python objects does not know the classes of Seurat and Bioconductor; their slots are in the tree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scggml.datasets._download import fetch

LARGEST = 2**26  # bytes; the files have some MB
MISSING = np.iinfo(np.int32).min  # NA of R among integers, and so among the codes of factors


def load_r(url: str, sha256: str) -> Any:
    """Return the object of an .rds file, or the first of an .RData file, from the cache or the network."""
    name = url.rsplit("/", 1)[-1]
    try:
        import rdata  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError(
            f"{name} is a file of R, which the package rdata reads: pip install 'scggml[datasets]'"
        ) from error
    found = rdata.parser.parse_file(fetch(url, name, sha256=sha256, largest=LARGEST)).object
    return found.value[0] if found.info.type.name == "LIST" else found


def part(thing: Any, *names: str) -> Any:
    """Return a slot of an object, or an element of a list, then one of that, and so on."""
    for name in names:
        thing = (_elements(thing) if thing.info.type.name == "VEC" else _attributes(thing))[name]
    return thing


def texts(thing: Any) -> list[str]:
    """Return a character vector."""
    return [_text(element) for element in thing.value]


def column(thing: Any) -> Any:
    """Return a vector as an array, or a factor as a categorical."""
    if thing.info.type.name == "STR":
        return np.array(texts(thing), dtype=object)
    attributes = _attributes(thing)
    if "levels" not in attributes:
        return np.asarray(thing.value)
    codes = np.ma.filled(thing.value, MISSING)
    levels = pd.Index(texts(attributes["levels"]))
    return pd.Categorical.from_codes(np.where(codes == MISSING, 0, codes) - 1, categories=levels)


def table(thing: Any, index: Sequence[str]) -> pd.DataFrame:
    """Return a data frame, or the list of columns of one of Bioconductor."""
    return pd.DataFrame({name: column(values) for name, values in _elements(thing).items()}, index=list(index))


def counts(thing: Any) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    """Return a sparse matrix, (genes, cells) in R, as (n_cells, n_genes), and the names of cells and genes."""
    n_genes, n_cells = part(thing, "Dim").value
    genes, cells = (texts(names) for names in part(thing, "Dimnames").value)
    entries = (part(thing, "x").value.astype(np.float32), part(thing, "i").value, part(thing, "p").value)
    return sparse.csr_matrix(entries, shape=(int(n_cells), int(n_genes))), cells, genes


def _attributes(thing: Any) -> dict[str, Any]:
    """Return the attributes, which are the slots of an object, from their linked list."""
    found, pair = {}, thing.attributes
    while pair is not None and pair.info.type.name == "LIST":
        tag = pair.tag if pair.tag.referenced_object is None else pair.tag.referenced_object
        found[_text(tag.value)] = pair.value[0]
        pair = pair.value[1]
    return found


def _elements(thing: Any) -> dict[str, Any]:
    """Return the elements of a named list."""
    return dict(zip(texts(_attributes(thing)["names"]), thing.value, strict=True))


def _text(thing: Any) -> str:
    return "" if thing.value is None else thing.value.decode()
