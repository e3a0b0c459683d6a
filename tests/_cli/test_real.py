"""From a real cohort to its report by the command line."""

from pathlib import Path

import pytest
from _command_line import good
from _learned import KEYS, ONE

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_childhood_lupus(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "learned.h5ad"
    design = [
        "--reference-class",
        "cHD",
        "--summary",
        "none",
        "--method",
        "Canonical(ridge=0.05)",
        "--shrinkage",
        "0.4",
    ]
    good("learn", data_dir / "csle_ragas.h5ad", "-o", path, *KEYS, "--use-rep", "X_pca", *design, *ONE)
    folds = ["--n-repeats", "1", "--methods", "ggml", "--methods", "majority", "--n-perm", "39"]
    good("evaluate", path, "--in-place", *folds, *ONE)
    good("report", path, "-o", tmp_path / "report.html", "--cell-type-key", "cell_type", *ONE)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What sets cHD and cSLE apart" in text
    assert "strong signal" in text.lower() or "weak signal" in text.lower()
    assert text.index("IFI44L") < text.index('id="design"')
    # what the cohort is known for: healthy children have more cells, and none of them is in batch B1
    assert "alone it would tell them apart with AUROC 0.79" in text
    assert "B1 (8 samples, all cSLE)" in text
