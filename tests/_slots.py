"""All slots of an AnnData as flat arrays, so that tests can compare them by content."""

from collections.abc import Iterator, Mapping
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse


def slots(adata: ad.AnnData) -> dict[str, np.ndarray]:
    """Every slot under its path, such as "uns/ggml/history/loss", as an array of its own."""
    found = {} if adata.X is None else dict(_flat("X", adata.X[:] if adata.isbacked else adata.X))
    for name in ("obs", "var"):
        found |= _flat(name, getattr(adata, name))
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        found |= _flat(name, dict(getattr(adata, name)))
    return found


def assert_same(found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> None:
    """Same paths, kinds of values, precision and values, bit for bit."""
    assert sorted(found) == sorted(truth)
    for path, value in truth.items():
        assert found[path].dtype == value.dtype, path
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def assert_same_table(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Equal to the precision; pandas 3 has two kinds of text, of which a file gives back one."""
    tables = []
    for table in (found, truth):
        text = [name for name in table if isinstance(table[name].dtype, pd.StringDtype)]
        tables.append(table.astype(dict.fromkeys(text, object)))
    pd.testing.assert_frame_equal(*tables)


def assert_round_trip(adata: ad.AnnData, folder: Any) -> list[ad.AnnData]:
    """Write as h5ad and as zarr; what is read back has the same slots, and is handed on."""
    before = slots(adata)
    read = []
    for kind in ("h5ad", "zarr"):
        path = folder / f"stored.{kind}"
        getattr(adata, f"write_{kind}")(path)
        read.append(getattr(ad, f"read_{kind}")(path))
        assert_same(slots(read[-1]), before)
    return read


def _flat(path: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    match value:
        case pd.DataFrame():
            yield from _flat(f"{path}/index", value.index.to_numpy())
            for name in value.columns:
                yield from _flat(f"{path}/{name}", value[name])
        case pd.Series() if isinstance(value.dtype, pd.CategoricalDtype):
            yield f"{path}/codes", value.cat.codes.to_numpy().astype(np.int64)
            yield from _flat(f"{path}/categories", value.cat.categories.to_numpy())
            yield f"{path}/ordered", np.array(value.cat.ordered)
        case pd.Series():
            yield from _flat(path, value.to_numpy())
        case Mapping():
            for name, part in value.items():
                yield from _flat(f"{path}/{name}", part)
        case _ if hasattr(value, "to_memory"):
            yield from _flat(path, value.to_memory())
        case _ if hasattr(value, "compute"):
            yield from _flat(path, value.compute())
        case _ if sparse.issparse(value):
            yield path, value.toarray()
        case _:
            array = np.array(value)
            yield path, array.astype(object).astype(str) if array.dtype.kind in "OT" else array
