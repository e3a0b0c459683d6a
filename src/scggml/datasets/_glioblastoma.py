"""Slices of glioblastomas with and without panobinostat."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._docs import documented
from scggml.datasets._r_objects import counts, load_r, part, table

URL = (
    "https://raw.githubusercontent.com/const-ae/lemur/0e62bc1287b17deec678f7db435ec09098a475f2/"
    "data/glioblastoma_example_data.rda"
)
SHA256 = "4e56d9cff16fb6750dd0054a0f7f05a7429c612906dc610c8dd44cb3e60de37e"
COLUMNS = {
    "sample_id": "sample_id",
    "patient_id": "patient_id",
    "condition": "label",
    "age": "age",
    "gender": "sex",
    "location": "location",
}


@documented
def glioblastoma() -> AnnData:
    """Load 5000 cells of glioblastomas of 5 patients: a slice with the drug panobinostat and one without, of each.

    Use `sample_key="sample_id"` (the slice, 500 cells), `label_key="label"`, and `patient_id` for the **pairs**:
    `groups_key="patient_id"` keeps the slices of a patient together, `batch_key="patient_id"` compares them within
    patients alone.

    The file (3 MB, MIT license) is downloaded once; its SHA-256 is checked. The cache is the folder in the environment
    variable `SCGGML_DATA`, or else the operating system's cache folder. Reading it needs the package `rdata`:
    `pip install 'scggml[datasets]'`.

    Returns
    -------
    AnnData
        The cohort.

        `.X`
            (5000, 300), CSR, float32: raw counts of the 300 genes that the package lemur chose for its examples.
        `.obs`
            `sample_id`, `patient_id`, `label` ("ctrl", "panobinostat"), `sex` and `location` of the tumor,
            categorical; `age`, int64, years.
        `.var_names`
            Gene symbols.
        `.var`
            `ensembl_id`; `chromosome`, categorical.

    Raises
    ------
    %(raises_rdata)s
    %(raises_download)s

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.glioblastoma()  # doctest: +SKIP
    >>> sg.tl.cross_validate(adata, "sample_id", "label", groups_key="patient_id")  # doctest: +SKIP

    References
    ----------
    Zhao et al., Deconvolution of cell type-specific drug responses in human tumor tissue with single-cell RNA-seq,
    Genome Medicine 2021, 13:82, doi:10.1186/s13073-021-00894-y (GSE148842). File: github.com/const-ae/lemur.
    """
    experiment = load_r(URL, SHA256)
    X, barcodes, genes = counts(part(experiment, "assays", "data", "listData", "counts"))
    obs = table(part(experiment, "colData", "listData"), barcodes)[list(COLUMNS)].rename(columns=COLUMNS)
    obs = obs.astype(dict.fromkeys(["sample_id", "patient_id", "label", "sex", "location"], "category"))
    obs["age"] = obs["age"].astype(np.int64)
    obs.index = pd.Index([f"{sample}_{barcode}" for sample, barcode in zip(obs["sample_id"], barcodes, strict=True)])
    known = table(part(experiment, "rowRanges", "elementMetadata", "listData"), genes)
    var = known[["gene_id", "chromosome"]].rename(columns={"gene_id": "ensembl_id"})
    return AnnData(X, obs=obs, var=var.set_index(pd.Index(known["symbol"].to_numpy())))
