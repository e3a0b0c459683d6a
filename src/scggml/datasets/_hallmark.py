"""Gene sets of well-defined biological states."""

from pathlib import Path

from scggml._docs import documented
from scggml.datasets._download import fetch

URL = "https://data.broadinstitute.org/gsea-msigdb/msigdb/release/7.5.1/h.all.v7.5.1.symbols.gmt"
NAME = "h.all.v7.5.1.symbols.gmt"
LARGEST = 2**20  # bytes; it has 48 kB
SHA256 = "de0fdee38af2611a284973f565df1a98bfa2385aecd7ba2ee3fe51208e753b40"


@documented
def hallmark() -> Path:
    """Return the path of the 50 hallmark gene sets of MSigDB 7.5.1, human gene symbols.

    The file (48 kB, CC BY 4.0) is downloaded once; its SHA-256 is checked. The cache is the folder in the environment
    variable `SCGGML_DATA`, or else the operating system's cache folder.

    Returns
    -------
    Path
        A GMT file, as :func:`scggml.ext.enrich_gmt` and decoupler take it.

    Raises
    ------
    %(raises_download)s

    Examples
    --------
    >>> import scggml as sg
    >>> sg.ext.enrich_gmt(adata, sg.datasets.hallmark())  # doctest: +SKIP

    References
    ----------
    Liberzon et al., The Molecular Signatures Database hallmark gene set collection, Cell Systems 2015, 1:417-425.
    https://www.gsea-msigdb.org
    """
    return fetch(URL, NAME, sha256=SHA256, largest=LARGEST)
