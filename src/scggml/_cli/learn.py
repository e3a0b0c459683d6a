"""Learn a metric."""

import shlex
from typing import Any

import typer

from scggml import tl
from scggml._anndata.commands import add_command
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._cli.arguments import Cohort, InPlace, Outputs
from scggml._cli.files import COHORT, as_json, check_outputs, read_cohort, tell, write_cohort
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (Source(tl.ggml),)


def learn(call: Call, cohort: Cohort, output: Outputs = None, in_place: InPlace = False) -> None:
    """Learn a metric (tl.ggml).

    It is learned from the labels of samples, and stored with the cohort.
    """
    outputs = [*(output or []), *([cohort] if in_place else [])]
    if not outputs:
        raise typer.BadParameter("Say where the metric is stored: -o learned.h5ad, or --in-place.")
    check_outputs(outputs, [cohort], COHORT, in_place=in_place)
    adata = read_cohort(cohort)
    options = call.options(tl.ggml)
    tl.ggml(adata, **options)
    add_command(adata, call.text)
    for path in outputs:
        write_cohort(path, adata)
    stored = read_metric(adata, str(options.get("key_added", "ggml")))
    if call.json:
        tell(as_json(about(stored)))
    else:
        k, n = len(stored.components), len(stored.record["samples"])
        again = shlex.join(["scggml", "evaluate", str(outputs[0])])
        typer.echo(f"Learned {k} component{'s' * (k != 1)} on {n} samples. Is it real? {again}", err=True)


def about(stored: StoredMetric) -> dict[str, Any]:
    """Return what a metric is, for JSON."""
    return {
        "key": stored.key,
        "n_components": len(stored.components),
        "n_features": stored.components.shape[1],
        "n_samples": len(stored.record["samples"]),
        "oriented_to": stored.oriented_to,
        "learned_share": stored.learned_share,
        "learner": stored.learner.to_params(),
        "reading": stored.reading.to_params(),
        "fingerprint": stored.fingerprint,
    }
