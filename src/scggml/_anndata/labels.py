"""Labels of the samples that a metric was learned with, and notice of others."""

from collections.abc import Mapping
from typing import Any

from scggml._anndata.messages import warn
from scggml._core.cohort import Names
from scggml._core.samples import Target


def label_texts(target: Target) -> list[str]:
    """Return the label of each sample as text."""
    if target.kind == "numbers":
        return [repr(float(value)) for value in target.values]
    return [str(target.classes[code]) for code in target.codes]


def warn_of_new_labels(target: Target, names: Names, record: Mapping[str, Any], label_key: str, key: str) -> None:
    """Warn of samples that have other labels than when the metric was learned; `record` is what `.uns` holds of it."""
    if "labels" not in record or "samples" not in record:
        return
    known = dict(zip(map(str, record["samples"]), map(str, record["labels"]), strict=True))
    now = dict(zip(map(str, names), label_texts(target), strict=True))
    changed = [name for name, label in now.items() if known.get(name, label) != label]
    if changed:
        one = changed[0]
        warn(
            f"{len(changed)} samples have other labels in adata.obs[{label_key!r}] than when the metric {key!r} was "
            f"learned: {one!r} had {known[one]!r} and has {now[one]!r}. Its components, and the classes by which their "
            "ends are named, are those of the labels before; learn it again with sg.tl.ggml."
        )
