"""Write results into slots, as files can hold them, and read them back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, ImplicitModificationWarning

from scggml._anndata.forms import Form, check_form, check_unchanged, sealed
from scggml._anndata.messages import check_adata, check_key_added, choices
from scggml._core.cohort import Floats, Integers
from scggml._core.threads import ignored


@contextmanager
def _views_become_data() -> Iterator[None]:
    """Let a view become an actual AnnData at the first write, as in scanpy, without a warning."""
    with ignored(ImplicitModificationWarning):
        yield


def write_uns(adata: AnnData, slot: str, entry: Any) -> None:
    """Write a result into `.uns`."""
    with _views_become_data():
        adata.uns[slot] = entry


def drop_uns(adata: AnnData, slot: str) -> None:
    """Remove a result from `.uns`, if it is there."""
    if slot in adata.uns:
        with _views_become_data():
            del adata.uns[slot]


def write_result(adata: AnnData, slot: str, entry: Mapping[str, Any]) -> None:
    """Write a result of this package into `.uns`, with checksums by which its readers notice changes."""
    write_uns(adata, slot, sealed(entry))


def find_result(
    adata: AnnData, slot: str, call: str, form: Form, *, of: str | None = None, name: str = "adata", **sizes: int
) -> Mapping[str, Any] | None:
    """Return a result of `.uns` after a check of its form, None if the slot is not there.

    Parameters
    ----------
    call
        What makes it anew.
    of
        Fingerprint of a metric: the form of a result of another one is not looked at, since its sizes differ.
    name
        Of the AnnData, for messages.
    """
    if slot not in adata.uns:
        return None
    entry: Mapping[str, Any] = adata.uns[slot]
    where, again = f"{name}.uns[{slot!r}]", f"call {call} again."
    check_unchanged(entry, where, again)
    if of is None or str(entry.get("fingerprint", of)) == of:
        check_form(entry, where, again, form, **sizes)
    return entry


def write_obsm(adata: AnnData, slot: str, values: Any) -> None:
    """Write an array with a row for each observation into `.obsm`."""
    with _views_become_data():
        adata.obsm[slot] = values


def drop_obsm(adata: AnnData, slot: str) -> None:
    """Remove an array from `.obsm`, if it is there."""
    if slot in adata.obsm:
        with _views_become_data():
            del adata.obsm[slot]


def write_varm(adata: AnnData, slot: str, values: Floats | None) -> None:
    """Write an array with a row for each gene into `.varm`; None removes what is there."""
    with _views_become_data():
        if values is None:
            adata.varm.pop(slot, None)
        else:
            adata.varm[slot] = values


def write_obsp(adata: AnnData, slot: str, values: Any) -> None:
    """Write a matrix of pairs of observations into `.obsp`."""
    with _views_become_data():
        adata.obsp[slot] = values


def write_obs(adata: AnnData, columns: Mapping[str, Any]) -> None:
    """Write columns of `.obs`."""
    with _views_become_data():
        for name, values in columns.items():
            adata.obs[name] = values


def write_cells(adata: AnnData, slot: str, rows: Integers, values: Floats) -> None:
    """Write numbers of some cells into a column of `.obs`, NaN for the others."""
    column = np.full(adata.n_obs, np.nan)
    column[rows] = values
    write_obs(adata, {slot: column})


def check_result_key(adata: AnnData, key: str, kind: str) -> None:
    """Raise if a result of a kind cannot be stored under a key without overwriting something else."""
    check_key_added(key)
    entry = adata.uns.get(key)
    if entry is not None and not (isinstance(entry, Mapping) and entry.get("kind") == kind):
        raise ValueError(
            f"key_added={key!r}: adata.uns[{key!r}] holds something other than a {kind.replace('_', ' ')}, which would "
            "be overwritten. Pass another key_added, or delete it first."
        )


def read_entry(
    adata: AnnData, key: str, *, kind: str, made_by: str, form: Form | None = None, **sizes: int
) -> Mapping[str, Any]:
    """Read a result of a kind; if it is missing, the message lists the stored ones."""
    check_adata(adata)
    entry = adata.uns.get(key)
    if not (isinstance(entry, Mapping) and entry.get("kind") == kind):
        found = [name for name, other in adata.uns.items() if isinstance(other, Mapping) and other.get("kind") == kind]
        raise KeyError(
            f"adata.uns[{key!r}] holds no {kind.replace('_', ' ')}; stored ones: {choices(found)}. Make one with "
            f"sg.tl.{made_by}(adata, sample_key, label_key, key_added={key!r})."
        )
    again = f"call sg.tl.{made_by}(adata, sample_key, label_key, key_added={key!r}) again."
    check_unchanged(entry, f"adata.uns[{key!r}]", again)
    of = entry.get("of", {})
    now = adata.uns.get(str(of.get("key")))
    if isinstance(now, Mapping) and "fingerprint" in now and str(now["fingerprint"]) != str(of["fingerprint"]):
        raise ValueError(
            f"adata.uns[{key!r}] is of another metric than adata.uns[{str(of['key'])!r}] is now; call sg.tl.{made_by}"
            f"(adata, key={str(of['key'])!r}, key_added={key!r}) again."
        )
    if form is not None:
        check_form(entry, f"adata.uns[{key!r}]", again, form, **sizes)
    return entry


def params(**arguments: Any) -> dict[str, Any]:
    """Return arguments as plain values: None is left out, lists become arrays of names, all but numbers text."""
    out: dict[str, Any] = {}
    for name, given in arguments.items():
        value = given.item() if isinstance(given, np.generic) else given
        if value is None:
            continue
        if isinstance(value, list | tuple):
            out[name] = np.array([str(part) for part in value], dtype=object)
        else:
            out[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return out


def table(columns: Mapping[str, Any], *, names: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a table whose columns `names` are categories in the order of first appearance."""
    out = pd.DataFrame(dict(columns))
    for name in names:
        values = out[name].astype(str)
        out[name] = pd.Categorical(values, categories=list(dict.fromkeys(values)))
    return out
