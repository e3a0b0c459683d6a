"""Lymphocytes of children with lupus and of healthy children."""

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._docs import documented
from scggml.datasets._r_objects import column, counts, load_r, part, table

URL = "https://raw.githubusercontent.com/jig4003/Ragas/35220c212e3f2fefd2fdbe3a007e9372baf244a4/data/"
FILES = {
    "B": ("csle.bcell.small.RData", "9748876a96eac08c264f936e1478424624ed523f0583e5996bafe8473d14ec71"),
    "CD4 memory": ("csle.cd4.mem.small.RData", "92ae21928844c6cf9270b568f84442fc579b87f8894eea14ef6a3c23aecc4872"),
    "Treg": ("csle.treg.small.RData", "4fe352d78716a3172a886b11d8590d0114b30235c14ae3eb9a289bb4d1223ea0"),
}
"""File and hash of each cell type."""
COLUMNS = {
    "Names": "sample_id",
    "Groups": "label",
    "Batch": "batch",
    "Age": "age",
    "Gender": "sex",
    "Race": "race",
    "SLEDAI": "SLEDAI",
}


@documented
def lupus() -> AnnData:
    """Load 1000 lymphocytes of 33 children with lupus (cSLE) and 11 healthy children (cHD).

    Use `sample_key="sample_id"` (the child, 6 to 38 cells) and `label_key="label"`. The cells are B cells, memory CD4 T
    cells and regulatory T cells: samples, made for the examples of the package Ragas, of those of the study.

    Two columns differ between the labels, too, and have to be asked about before the disease is: no healthy child is
    in batch B1, and the healthy children have more cells.

    The three files (7 MB together, GPL-3 as part of Ragas) are downloaded once; their SHA-256 is checked. The cache is
    the folder in the environment variable `SCGGML_DATA`, or else the operating system's cache folder. Reading them
    needs the package `rdata`: `pip install 'scggml[datasets]'`.

    Returns
    -------
    AnnData
        The cohort.

        `.X`
            (1000, 1503), CSR, float32: raw counts of the genes that the files hold.
        `.obs`
            Of the child: `sample_id`, `label` ("cHD", "cSLE"), `batch` ("B1" to "B6"), `sex` and `race`, categorical;
            `age`, int64, years; `SLEDAI`, float64: disease activity, NaN where it was not determined. Of the cell:
            `cell_type` ("B", "CD4 memory", "Treg") and `subtype`, categorical.
        `.var_names`
            Gene symbols.

    Raises
    ------
    %(raises_rdata)s
    %(raises_download)s

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.lupus()  # doctest: +SKIP
    >>> sc.pp.normalize_total(adata, target_sum=1e4)  # doctest: +SKIP
    >>> sc.pp.log1p(adata)  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "sample_id", "label", batch_key="batch")  # doctest: +SKIP

    References
    ----------
    Nehar-Belaid et al., Mapping systemic lupus erythematosus heterogeneity at the single-cell level, Nature Immunology
    2020, 21:1094-1106, doi:10.1038/s41590-020-0743-0. Files: github.com/jig4003/Ragas.
    """
    adata = ad.concat([_of_type(cell_type, *file) for cell_type, file in FILES.items()])
    for name in ("sample_id", "label", "batch", "sex", "race", "cell_type", "subtype"):
        adata.obs[name] = pd.Categorical(adata.obs[name])
    return adata


def _of_type(cell_type: str, name: str, sha256: str) -> AnnData:
    """Return the cells of one file."""
    seurat = load_r(URL + name, sha256)
    X, cells, genes = counts(part(seurat, "assays", "RNA", "counts"))
    obs = table(part(seurat, "meta.data"), cells)[list(COLUMNS)].rename(columns=COLUMNS)
    obs["age"] = obs["age"].astype(np.int64)
    obs["SLEDAI"] = obs["SLEDAI"].where(obs["SLEDAI"] != "ND").astype(np.float64)
    obs["cell_type"] = cell_type
    obs["subtype"] = [f"{cell_type} {subtype}" for subtype in column(part(seurat, "active.ident"))]
    return AnnData(X, obs=obs.astype({"sample_id": str, "label": str}), var=pd.DataFrame(index=genes))
