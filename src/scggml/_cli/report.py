"""Write a report."""

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import typer

from scggml import tl
from scggml._anndata.commands import add_command
from scggml._anndata.messages import find_column
from scggml._anndata.metric import stored_keys
from scggml._cli.arguments import Cohort
from scggml._cli.files import COHORT, as_json, check_outputs, read_cohort, tell, write_cohort, write_text
from scggml._cli.options import Source
from scggml._cli.run import Call
from scggml._report.document import make_report
from scggml._report.gather import Wish
from scggml.ext._gmt import read_gmt

DESIGN = frozenset(
    [
        "sample_key",
        "label_key",
        "use_rep",
        "layer",
        "label_kind",
        "reference_class",
        "groups_key",
        "batch_key",
        "covariate_keys",
    ]
)
SOURCES = (Source(tl.ggml, only=DESIGN, optional=True),)


def report(
    call: Call,
    cohort: Cohort,
    *,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write, .html; with .h5ad also what was computed for it.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[str, typer.Option(help="Key of the metric.")] = "ggml",
    cell_type_key: Annotated[
        str | None,
        typer.Option(
            help="Column of .obs with cell types; by default that of the stored ranking of genes.", show_default=False
        ),
    ] = None,
    gene_sets: Annotated[Path | None, typer.Option(help="Gene sets, a GMT file.", show_default=False)] = None,
    n_permutations: Annotated[
        int,
        typer.Option(
            min=0, help="Permutations of the labels for a test of the whole (tl.permutation_test); it takes long."
        ),
    ] = 0,
    n_genes: Annotated[int, typer.Option(min=1, help="Genes of each component in the table.")] = 15,
    title: Annotated[str | None, typer.Option(help="Title of the page.", show_default=False)] = None,
) -> None:
    """Write a report, one HTML page.

    It shows what holds for held-out samples, genes, pathways, cells and study design, and needs no network.
    Results that the file holds are shown as they are, others are computed. If it holds no metric, one is learned;
    then --sample-key and --label-key are needed.
    """
    outputs = output or [cohort.with_suffix(".html")]
    check_outputs(outputs, [cohort], (".html", *COHORT))
    adata = read_cohort(cohort)
    mpl.use("agg")  # figures go into the page, not to a screen
    if cell_type_key is not None:
        find_column(adata, cell_type_key, "cell_type_key")
    if gene_sets is not None:
        read_gmt(gene_sets)  # what is wrong with it is told before any work
    options = call.options(tl.ggml)
    if key not in stored_keys(adata):
        if not {"sample_key", "label_key"} <= options.keys():
            raise KeyError(
                f"{cohort} holds no metric {key!r}. Learn one first (scggml learn), or pass --sample-key and "
                "--label-key."
            )
        tl.ggml(adata, **options | {"key_added": key})
    elif set(options) & DESIGN:
        given = ", ".join("--" + name.replace("_", "-") for name in options if name in DESIGN)
        raise typer.BadParameter(
            f"{given}: {cohort} holds the metric {key!r} already, which has its own; leave it out."
        )
    wish = Wish(
        key=key,
        cell_type_key=cell_type_key,
        gene_sets=gene_sets,
        n_permutations=n_permutations,
        seed=int(call.given.get("seed") or 0),
        n_jobs=call.given.get("n_jobs"),
        progress=call.progress,
    )
    text = make_report(adata, wish, source=cohort.name, title=title, n_genes=n_genes, command=call.text)
    add_command(adata, call.text)
    for path in outputs:
        if path.suffix.lower() in COHORT:
            write_cohort(path, adata)
        else:
            write_text(path, text)
    if call.json:
        tell(as_json({"outputs": list(map(str, outputs))}))
    else:
        typer.echo(f"Wrote {', '.join(map(str, outputs))}.", err=True)
