from pathlib import Path

import anndata as ad
from _small import cohort

from scggml._anndata.commands import add_command, read_commands


def test_commands_are_kept_in_order_and_through_a_file(tmp_path: Path) -> None:
    adata = cohort()
    adata.obs["sample"] = adata.obs["sample"].astype(str)
    assert read_commands(adata) == []
    add_command(adata, "scggml learn a.h5ad")
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    add_command(again, "scggml genes 'b c.h5ad'")
    assert read_commands(again) == ["scggml learn a.h5ad", "scggml genes 'b c.h5ad'"]
