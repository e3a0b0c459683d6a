"""The sections of a report, each from what was found."""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml import get, pl, tl
from scggml._anndata.drawn import attributed_types
from scggml._anndata.reported import (
    MISSING,
    component_table,
    component_verdict,
    permutation_verdict,
    ranked_types,
    study_table,
)
from scggml._anndata.tested import real_components
from scggml._report.design import FEW, Suspicion, crosstab, suspicions
from scggml._report.figures import Drawing
from scggml._report.gather import Findings
from scggml._report.html import ABSENT, Raw, bullets, join, pair, paragraph, table, tag

SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "spearman": "rank correlation",
    "auroc": "AUROC",
    "log_loss": "log loss",
    "kappa": "weighted kappa",
    "mean_absolute_error": "mean absolute error",
}
"""Scores that are shown, by name."""


GENES = {
    "gene": "gene",
    "higher_in": "higher in",
    "pattern": "pattern",
    "lower": "low",
    "upper": "high",
    "shift": "shift",
    "t": "t",
    "frequency": "frequency",
    "p_adjusted": "FDR",
}
TYPES = {"cell_type": "cell type", "gene": "gene", "higher_in": "higher in", "shift": "shift", "t": "t"}
SETS = {
    "component": "component",
    "direction": "direction",
    "name": "gene set",
    "intersection_size": "genes",
    "term_size": "of",
    "score": "score",
    "p_adjusted": "adjusted p",
}
ADDED = {
    "class_a": "label",
    "class_b": "other label",
    "cell_type": "cell type",
    "mass": "share of cells",
    "excess": "adds to gap",
    "excess_state": "by state",
    "p_adjusted_state": "FDR state",
    "excess_composition": "by composition",
    "p_adjusted_composition": "FDR composition",
}
"""Columns of tables that are shown, with their heads."""


def named(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns that are shown and hold something, under their heads."""
    kept = [name for name in columns if name in frame and frame[name].notna().any()]
    return frame[kept].rename(columns=columns)


def heading(found: Findings) -> Raw:
    """Return the verdict: what the held-out donors say, and what to hold against it."""
    kind, said, detail = judged(found)
    tests = [component_verdict(found.adata, found.stored), permutation_verdict(found.adata)]
    parts: list[Raw | str | None] = [paragraph(said, "said"), detail or None, *tests]
    seen = doubts(found)
    if seen:
        names = ", ".join(one.column for one in seen)
        link = tag("a", "study design", href="#design")
        parts.append(tag("p", f"What else goes with the label, and could explain it: {names} (see ", link, ")."))
    return tag(
        "div", *[p if isinstance(p, Raw) else paragraph(p) for p in parts if p], class_=f"verdict {kind}", role="note"
    )


def judged(found: Findings) -> tuple[str, str, str]:
    """Return the kind of verdict, what it says, and its grounds."""
    if found.evaluation is None:
        reason = found.refused.get("tl.cross_validate", "")
        return "none", "No evidence: not evaluated on held-out samples", reason
    said, _, detail = found.evaluation.judgements[found.stored.key].partition(" (")
    kind = {"strong": "strong", "weak": "weak", "no": "none"}.get(said.split()[0], "plain")
    detail = detail.removesuffix(")")
    return kind, said[0].upper() + said[1:], f"Held out: {detail}." if detail else ""


def evidence(found: Findings) -> Raw:
    """Return what holds for samples that the metric has not seen."""
    adata, key = found.adata, found.stored.key
    parts: list[Raw | str | None] = [
        "Everything in this section is about samples whose labels the metric had not seen when it was learned."
    ]
    evaluation = found.evaluation
    if evaluation is not None:
        drawing = Drawing(
            partial(pl.cross_validation, adata),
            f"Held-out {SCORES[evaluation.main_metric]} of each method, with chance as a line.",
            "Scores on donors that were held out, by method: a point for each repeat, a bar at the mean.",
        )
        parts += [drawing.html(), score_table(evaluation, key), bullets(verdict_lines(evaluation, key))]
    else:
        parts.append(_refusal(found, "tl.cross_validate"))
    scores = [drawing.html() for drawing in _score_drawings(found)] if found.held_out else []
    if not found.held_out:
        parts.append(_refusal(found, "tl.cross_fit"))
    if evaluation is not None and evaluation.donors:
        confusion = Drawing(
            partial(pl.confusion, adata, method=key),
            "Counts of true and predicted labels of held-out samples.",
            "True and predicted labels of held-out samples (mean over repeats).",
        )
        calibration = Drawing(
            partial(pl.calibration, adata, methods=[n for n in (key, "ensemble") if n in evaluation.summary.index]),
            "Share of right predictions against their probability.",
            "Predicted probabilities of held-out samples beside how often they came true; on the dashed line they can "
            "be taken at their word.",
        )
        parts += [pair(*scores, confusion.html()), calibration.html()]
    else:
        parts += scores
    if found.held_out and found.samples is not None:
        parts.append(
            Drawing(
                partial(pl.clustermap, found.samples, key=found.distances, color=_colors(found)),
                "Distances between all samples, as a clustered matrix with the labels at its margin.",
                "Distances between samples, each pair measured by metrics that have seen neither donor.",
            ).html()
        )
    parts += [tag("h3", "Which components are real"), _components(found)]
    said = permutation_verdict(adata)
    if said is not None:
        caption = "The held-out score of the true labels beside those of labels that were permuted among donors."
        drawing = Drawing(
            partial(pl.permutation_test, adata), "Held-out scores of permuted labels, and of the true ones.", caption
        )
        parts += [tag("h3", "Would random labels have done as well?"), said, drawing.html()]
    return join(*parts)


def verdict_lines(evaluation: get.CrossValidation, key: str) -> list[str]:
    """Return what the evaluation says besides the verdicts of single methods."""
    return evaluation.verdict.splitlines()[len(evaluation.judgements) :]


def score_table(evaluation: get.CrossValidation, key: str) -> Raw:
    """Return the scores of all methods, with 95 % intervals where there are any."""
    summary, main = evaluation.summary, evaluation.main_metric
    out = pd.DataFrame({"method": summary.index.astype(str)})
    out[SCORES[main]] = summary[main].to_numpy()
    pairs = compared(evaluation)
    if evaluation.chance and any(other == "majority" for _, other in pairs):
        nothing = (np.nan, np.nan, np.nan)
        ends = [(score, *pairs.get((str(name), "majority"), nothing)) for name, score in summary[main].items()]
        out["95 % interval"] = [  # around the score: the majority of the training donors may score less than chance
            ABSENT if np.isnan(low) else f"{max(score + low - mean, 0):.2f} to {min(score + high - mean, 1):.2f}"
            for score, mean, low, high in ends
        ]
    better = [pairs.get((key, name)) for name in out["method"]]
    if any(better):
        out[f"{key} better by"] = [
            ABSENT if one is None or np.isnan(one[1]) else f"{one[0]:+.2f} ({one[1]:+.2f} to {one[2]:+.2f})"
            for one in better
        ]
    for name, text in SCORES.items():
        if name != main and name in summary:
            out[text] = summary[name].to_numpy()
    caption = (
        f"Held-out scores by method (chance {evaluation.chance:.2f}), with 95 % intervals; this report is about {key}."
    )
    return table(out, caption, strong=[place for place, name in enumerate(out["method"]) if name == key])


def compared(evaluation: get.CrossValidation) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the difference of each two methods, with its interval."""
    table = evaluation.differences
    names = zip(table["method"].astype(str), table["other"].astype(str), strict=True)
    numbers = table[["mean", "low", "high"]].to_numpy(dtype=np.float64).tolist()
    return {pair: (mean, low, high) for pair, (mean, low, high) in zip(names, numbers, strict=True)}


def _score_drawings(found: Findings) -> Iterable[Drawing]:
    """Yield the held-out scores of the samples on each real component, or the first one."""
    real = real_components(found.adata, found.stored)
    shown = [0] if real is None or not real.any() else np.flatnonzero(real)[:3]
    for i in shown:
        yield Drawing(
            partial(pl.scores, found.adata, component=int(i) + 1, key=found.stored.key, held_out=True),
            f"Mean of the cells of each sample on component {i + 1}, by label, under metrics without its donor.",
            f"Each point is a sample: where its cells are on average on component {i + 1}, under the metric that was "
            "learned without its donor.",
        )


def _components(found: Findings) -> Raw:
    said = component_verdict(found.adata, found.stored)
    if said is None:
        return _refusal(found, "tl.component_test")
    return join(said, table(component_table(found.adata, found.stored), "Components of the metric.", p_values=("p",)))


def genes(found: Findings, n_genes: int) -> Raw:
    """Return which genes change, and in which cells."""
    adata, key = found.adata, found.stored.key
    if "tl.rank_genes" in found.refused:
        return _refusal(found, "tl.rank_genes")
    shown = _shown_components(found)
    parts: list[Raw | str | None] = [
        "A pattern says how much a gene changes (in standard deviations) where cells move along a component from one "
        "label to another; the shift is the difference of its mean, and t its size in units of its error over donors. "
        "This ranking screens the samples that the metric was learned on."
    ]
    tables = [get.rank_genes_df(adata, key=key, component=i, n_genes=n_genes) for i in shown]
    tested = "p_adjusted" in tables[0]
    parts.append(
        "Intervals (low to high), frequencies and false discovery rates (FDR) are those of tl.gene_stability."
        if tested
        else "No false discovery rates were computed (scggml genes --stability): take no single gene for proven."
    )
    parts.append(
        Drawing(
            partial(pl.loadings, adata, key=key, components=shown),
            "The genes with the strongest patterns of each component, by direction.",
            "Genes with the strongest patterns, and the label in which they are higher.",
        ).html()
    )
    if tested:
        caption = "Pattern of each gene beside its false discovery rate."
        parts.append(Drawing(partial(pl.volcano, adata, key=key), "Volcano plot of the genes.", caption).html())
    for i, frame in zip(shown, tables, strict=True):
        parts.append(table(named(frame, GENES), f"Strongest genes of component {i}.", p_values=("FDR",)))
    types = ranked_types(adata, key)
    if types is not None:
        for i in shown:
            of_component = types[types["component"] == f"{key}{i}"]
            few = of_component.groupby("cell_type", sort=False, observed=True).head(5)
            if len(few):
                parts.append(table(named(few, TYPES), f"Strongest genes of each cell type on component {i}."))
    return join(*parts)


def pathways(found: Findings) -> Raw | None:
    """Return the gene sets, None if nobody asked for them."""
    if "ext.enrich_gmt" in found.refused:
        return _refusal(found, "ext.enrich_gmt")
    try:
        frame = get.enrichment_df(found.adata, key=found.stored.key, max_p_adjusted=0.05, n_terms=10)
    except MISSING:
        return None
    if frame.empty:
        return paragraph("No gene set is significant (5 % after Benjamini and Hochberg).")
    caption = "Gene sets of the strongest genes of each component, with adjusted p-values."
    drawing = Drawing(
        partial(pl.enrichment, found.adata, key=found.stored.key), "Gene sets by adjusted p-value.", caption
    )
    note = (
        "P-values treat genes as independent, which genes of one pathway are not: they rank sets rather than prove "
        "them."
    )
    return join(
        drawing.html(),
        table(named(frame, SETS), "Gene sets, at most 10 of each direction.", p_values=("adjusted p",)),
        note,
    )


def cells(found: Findings) -> Raw | None:
    """Return which cell types make the gap between labels, None without cell types."""
    if found.cell_type_key is None:
        return None
    if "tl.attribute" in found.refused:
        return _refusal(found, "tl.attribute")
    try:
        frame = attributed_types(found.adata, found.stored.key)
    except MISSING:
        frame = None
    if frame is None:
        return None
    between = frame[frame["class_a"].astype(str) != frame["class_b"].astype(str)].reset_index(drop=True)
    if len(between[["class_a", "class_b"]].drop_duplicates()) == 1:
        between = between.drop(columns=["class_a", "class_b"])
    return join(
        "What each cell type adds to the gap between labels (mean distance between them less that within them), under "
        "metrics that have not seen the donors: because its cells are in another state, or because there are more or "
        "fewer of them.",
        Drawing(
            partial(pl.attribution, found.adata, key=found.stored.key),
            "What each cell adds to the gap between labels, and the sums by cell type.",
            "Left: each cell, by how much farther it is from the other label than from its own (excess distance). "
            "Right: the sums by cell type.",
        ).html(),
        table(named(between, ADDED), "What cell types add to the gap.", p_values=("FDR state", "FDR composition")),
    )


def study(found: Findings, samples: AnnData) -> tuple[pd.DataFrame, str, str | None]:
    """Return a table of the samples, and its columns of labels, as categories unless they are numbers, and of sizes."""
    frame, size = study_table(samples, found.distances)
    reading = found.stored.reading
    label, kind = str(reading.label_key), reading.label_kind
    if label in frame and kind != "numbers":
        column = frame[label].astype("category")
        levels = column.cat.categories if isinstance(kind, str) else kind
        frame[label] = pd.Categorical(column.astype(str), [str(level) for level in levels])
    return frame, label, size


def doubts(found: Findings) -> list[Suspicion]:
    """Return the columns of samples that go with the label; donors have one label mostly, which explains nothing."""
    if found.samples is None:
        return []
    frame, label, size = study(found, found.samples)
    others = frame.drop(columns=[name for name in [found.stored.reading.groups_key] if name in frame and name != label])
    return suspicions(others, label, size) if label in frame else []


def design(found: Findings) -> Raw:
    """Return samples, labels, batches and cells per sample, with what could explain the label."""
    if found.samples is None:
        return _refusal(found, "tl.distances")
    frame, label, size = study(found, found.samples)
    parts: list[Raw | str | None] = []
    seen = doubts(found)
    classes = label in frame and isinstance(frame[label].dtype, pd.CategoricalDtype)
    if seen:
        items = bullets(tag("span", tag("strong", one.column), f" {one.text}.") for one in seen)
        text = "These columns of the samples go with the label, so they could explain a difference as well:"
        parts.append(tag("div", paragraph(text), items or "", class_="caution"))
    elif classes:
        parts.append("No other column of the samples was found to go with the label.")
    if classes:
        parts += [table(sizes(frame, label, size), "Samples and cells by label."), crosstabs(frame, label)]
    if "tl.covariates" not in found.refused:
        parts.append(
            Drawing(
                partial(pl.covariates, found.samples, key=found.distances),
                "Share of the distances between samples that each covariate explains, alone and beyond the label.",
                "How strongly the distances between samples follow the label and other columns.",
            ).html()
        )
    return join(*parts)


def sizes(frame: pd.DataFrame, label: str, size: str | None) -> pd.DataFrame:
    """Return the number of samples of each label, and of their cells."""
    groups = frame.groupby(label, observed=True)
    out = pd.DataFrame({"samples": groups.size()})
    if size is not None:
        numbers = groups[size]
        out["cells per sample: median"] = numbers.median()
        out["fewest"], out["most"], out["cells"] = numbers.min(), numbers.max(), numbers.sum()
    names = out.index.astype(str)
    out = out.reset_index(drop=True)
    out.insert(0, label, names, allow_duplicates=True)
    return out


def crosstabs(frame: pd.DataFrame, label: str) -> Raw:
    """Return tables of the columns with few levels by label."""
    levels = [str(n) for n in frame if n != label and not pd.api.types.is_numeric_dtype(frame[n])]
    few = [name for name in levels if 1 < frame[name].nunique() <= FEW]
    tables = [table(crosstab(frame, label, name), f"Samples by {name}.") for name in few]
    return tag("div", *tables, class_="row")


def in_sample(found: Findings) -> Raw:
    """Return figures of the samples that the metric was learned on."""
    adata, key = found.adata, found.stored.key
    parts: list[Raw | str | None] = [
        tag(
            "p",
            "These figures show the samples that the metric was learned on. A metric separates them whatever their "
            "labels are, even random ones: they are no evidence.",
            class_="caution",
        ),
    ]
    scores = Drawing(
        partial(pl.scores, adata, key=key, held_out=False),
        "Mean of the cells of each training sample on the first component, by label.",
        "Training samples on the first component: compare with the held-out scores above.",
    )
    samples = tl.distances(adata, key=key, genes=False, progress=False)
    tl.mds(samples, key=key)
    places = Drawing(
        partial(pl.embedding, samples, color=found.stored.reading.label_key),
        "Map of the training samples by their distances, colored by label.",
        "Training samples, placed by their distances (multidimensional scaling).",
    )
    return join(*parts, pair(scores.html(), places.html()))


def _shown_components(found: Findings) -> list[int]:
    """Return the numbers of the real components, or of the first one."""
    real = real_components(found.adata, found.stored)
    return [1] if real is None or not real.any() else [int(i) + 1 for i in np.flatnonzero(real)]


def _colors(found: Findings) -> list[str]:
    reading = found.stored.reading
    return [name for name in (reading.label_key, reading.batch_key) if name is not None]


def _refusal(found: Findings, name: str) -> Raw:
    """Return why something is not there."""
    return paragraph(f"Not computed (sg.{name}): {found.refused.get(name, 'it was not asked for.')}", "soft")
