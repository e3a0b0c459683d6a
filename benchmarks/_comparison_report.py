"""What `comparison.py` shows of its table: differences to the default with intervals, tables, and a figure."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

SCORE = "balanced_accuracy"
DEFAULT = "canonical"
CONFIDENCE = 0.95
SHORT = {"no cell types": "no types", "needs time steps": "time steps", "took more": "too long", "failed": "failed"}
"""What stands in a cell of a table for a reason that begins so; the file has the whole reason."""


def read(path: Path) -> pd.DataFrame:
    """Return the table as it was written, a line for each row and cohort."""
    return pd.read_csv(path)


def short(reason: str) -> str:
    """Return a reason in two words."""
    return next((word for start, word in SHORT.items() if reason.startswith(start)), reason)


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return rows x cohorts of a number, in the order in which they were written; NaN where there is none."""
    found = table.pivot(index="name", columns="cohort", values=column)
    return found.loc[list(dict.fromkeys(table["name"])), list(dict.fromkeys(table["cohort"]))]


def differences(scores: pd.DataFrame, to: str = DEFAULT) -> pd.DataFrame:
    """Return the mean difference of each row to one of them, paired over the cohorts that both have.

    `low` and `high` are the interval of Student's t of confidence 95 %, with the cohorts as what is drawn; `better` and
    `worse` count cohorts.
    """
    rows = {}
    for name, values in scores.iterrows() if to in scores.index else ():
        gaps = (values - scores.loc[to]).dropna().to_numpy(dtype=float)
        n = len(gaps)
        if name == to or n == 0:
            continue
        half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * gaps.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        mean, better, worse = gaps.mean(), int((gaps > 1e-9).sum()), int((gaps < -1e-9).sum())
        rows[name] = (n, mean, mean - half, mean + half, better, worse)
    columns = ["cohorts", "mean", "low", "high", "better", "worse"]
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each row: mean scores, paired differences to the default, and the cost of a cohort."""
    scores = wide(table, SCORE)
    out = pd.DataFrame({"cohorts": scores.notna().sum(axis=1), SCORE: scores.mean(axis=1)})
    out["auroc"] = wide(table, "auroc").mean(axis=1)
    gaps = differences(scores)[["mean", "low", "high", "better", "worse"]]
    out = out.join(gaps.astype(float).rename(columns={"mean": "difference"}))
    out["seconds"], out["MB"] = wide(table, "seconds").median(axis=1), wide(table, "MB").median(axis=1)
    return out


def with_reasons(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return rows x cohorts as text: numbers of two digits, and reasons where there is none."""
    numbers, reasons = wide(table, column), wide(table, "reason")
    text = numbers.map(lambda value: f"{value:.2f}" if np.isfinite(value) else "")
    return text.where(numbers.notna(), reasons.map(lambda reason: short(reason) if isinstance(reason, str) else "-"))


def number(value: float, digits: int = 3) -> str:
    """Return a number as text; nothing for one that is missing."""
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def summary_text(found: pd.DataFrame) -> pd.DataFrame:
    """Return the summary as text: a mean over fewer cohorts than others says over how many."""
    everywhere = found["cohorts"].max()
    texts = {}
    for name, row in found.iterrows():
        few = f" ({row['cohorts']:.0f})" if 0 < row["cohorts"] < everywhere else ""
        gap = f"{row['difference']:+.3f}" if np.isfinite(row["difference"]) else ""
        if np.isfinite(row["low"]):
            gap += f" [{number(row['low'])}, {number(row['high'])}]"
        votes = f"{row['better']:.0f} / {row['worse']:.0f}" if gap else ""
        texts[name] = {
            "balanced accuracy": (number(row[SCORE]) or "-") + few,
            "AUROC": number(row["auroc"]),
            "difference to the default": gap,
            "better / worse": votes,
            "s": number(row["seconds"], 1),
            "MB": number(row["MB"], 0),
        }
    return pd.DataFrame.from_dict(texts, orient="index").rename_axis("row")


def ordered(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by their difference to the default, which has none; those without numbers last."""
    key = found["difference"].astype(float).where(found.index != DEFAULT, 0.0)
    return found.loc[key.sort_values(ascending=False, na_position="last", kind="stable").index]


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw scores by cohort, paired differences to the default, and seconds; the largest difference first."""
    found = ordered(summarize(table))
    scores, reasons = (part.loc[found.index] for part in (wide(table, SCORE), with_reasons(table, SCORE)))
    y = np.arange(len(found))
    figure, (heat, gap, cost) = plt.subplots(
        1, 3, figsize=(12, 0.3 * len(y) + 1.6), sharey=True, width_ratios=[3.2, 1.4, 1.2], layout="constrained"
    )
    heat.imshow(scores, cmap="viridis", vmin=0.4, vmax=1.0, aspect="auto")
    for i, j in np.ndindex(scores.shape):
        missing = not np.isfinite(scores.iloc[i, j])
        color = "0.45" if missing else ("white" if scores.iloc[i, j] < 0.75 else "black")
        heat.text(j, i, reasons.iloc[i, j], ha="center", va="center", fontsize=6 if missing else 7.5, color=color)
    cohorts = [name.split("_")[0] if name.split("_")[0] != "covid" else name.split("_")[1] for name in scores]
    heat.set_xticks(range(len(cohorts)), cohorts, rotation=35, ha="right")
    heat.set_yticks(y, found.index)
    heat.set_title("balanced accuracy of held-out samples", fontsize=10)
    half = np.abs(found[["low", "high"]].to_numpy().T - found["difference"].to_numpy())
    gap.axvline(0, color="0.7", lw=1)
    gap.errorbar(found["difference"], y, xerr=half, fmt="o", ms=4, color="black", elinewidth=1)
    gap.set_title("difference to the default,\n95 % interval over cohorts", fontsize=10)
    cost.plot(found["seconds"], y, "o", ms=4, color="black")
    cost.set_xscale("log")
    cost.xaxis.set_minor_formatter("")
    cost.set_title("processor seconds\nof a cohort (median)", fontsize=10)
    for ax in (gap, cost):
        ax.grid(axis="x", color="0.92")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def report(source: Path, folder: Path | None) -> None:
    """Print the table of a file, and write its parts and the figure to a folder."""
    if not source.exists():
        return
    table = read(source)
    texts = summary_text(ordered(summarize(table))), with_reasons(table, SCORE), with_reasons(table, "auroc")
    for text in texts:
        print("\n" + text.to_string())
    print(f"\nReasons in full, and each number, are in {source}.")
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(("summary", "balanced_accuracy", "auroc"), texts, strict=True):
        text.to_csv(folder / f"comparison_{name}.csv", index_label="row")
    draw(table, folder / "comparison.png")
