"""Record the commands that results of a file come from."""

import numpy as np
from anndata import AnnData

from scggml._anndata.keys import COMMANDS
from scggml._anndata.results import write_uns


def read_commands(adata: AnnData) -> list[str]:
    """Return the commands that have written into an AnnData, first to last."""
    return [str(text) for text in np.atleast_1d(adata.uns.get(COMMANDS, []))]


def add_command(adata: AnnData, text: str) -> None:
    """Add a command to those that have written into an AnnData."""
    write_uns(adata, COMMANDS, np.array([*read_commands(adata), text], dtype=object))
