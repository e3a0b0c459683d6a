"""A stored plan of the number of donors as tidy tables."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import POWER
from scggml._anndata.planned import read_power
from scggml._docs import documented


@dataclass(frozen=True, eq=False, kw_only=True)
class Power:
    """Scores by the number of donors, and the number that a test needs.

    Parameters
    ----------
    curve
        Columns `metric`, `n_donors` to learn from, `value` on donors that were not seen, its interval `low` to `high`,
        and whether it is `extrapolated` beyond the numbers that were drawn.
    observed
        Columns `metric`, `n_donors`, `n_draws`, `value`, `low`, `high`: scores of the subsets that were drawn.
    power
        Columns `n_donors`, `value`, `low`, `high`: share of cohorts of so many donors in which the test is significant.
    needed, low, high
        Fewest donors from which on that is at least the share that was asked for, and its interval; NaN where it is
        more than twice the donors of the cohort, and without a signal.
    signal
        Whether the accuracy with all donors is above chance.
    asked
        Numbers of donors that were asked about.
    donors
        Number of donors with samples of each class.
    n_donors
        Number of donors of the cohort.
    chance
        Balanced accuracy of a method without skill.
    verdict
        All that in words.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=1, noise_scale=1.0, n_classes=2, n_samples=6, n_cells=10)
    >>> options = {"n_sizes": 3, "n_draws": 4, "n_jobs": 1, "progress": False}
    >>> sg.tl.power(adata, "sample_id", "label", method="pseudobulk", **options)
    >>> plan = sg.get.power(adata)
    >>> plan.n_donors, dict(plan.donors)
    (12, {'class0': 6, 'class1': 6})

    References
    ----------
    Figueroa et al., *Predicting sample size required for classification performance*, BMC Medical Informatics and
    Decision Making 2012.
    """

    curve: pd.DataFrame
    observed: pd.DataFrame
    power: pd.DataFrame
    needed: float
    low: float
    high: float
    signal: bool
    asked: tuple[int, ...]
    donors: Mapping[str, int]
    n_donors: int
    chance: float
    verdict: str

    @property
    def table(self) -> pd.DataFrame:
        """The rows of the curve at the numbers that were asked about, with the `power` of a test on so many donors."""
        rows = self.curve[self.curve["n_donors"].isin(self.asked)].reset_index(drop=True)
        of_number = self.power.set_index("n_donors")["value"]
        return rows.assign(power=of_number.loc[rows["n_donors"]].to_numpy())


@documented
def power(adata: AnnData, *, key: str = POWER) -> Power:
    """Return a stored plan of the number of donors as tidy tables, with a verdict in words.

    Parameters
    ----------
    adata
        %(adata_planned)s
    key
        %(key_result)s

    Returns
    -------
    An object with `curve`, `observed`, `power`, `table`, `needed` and `verdict`.

    Raises
    ------
    KeyError
        No such result; the message lists the stored ones.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=1, noise_scale=1.0, n_classes=2, n_samples=6, n_cells=10)
    >>> options = {"n_sizes": 3, "n_draws": 4, "n_jobs": 1, "progress": False}
    >>> sg.tl.power(adata, "sample_id", "label", n_donors=[8, 24], method="pseudobulk", **options)
    >>> list(sg.get.power(adata).table["n_donors"])
    [8, 24, 8, 24]

    References
    ----------
    Figueroa et al., *Predicting sample size required for classification performance*, BMC Medical Informatics and
    Decision Making 2012.
    """
    entry = read_power(adata, key)
    classes = [str(name) for name in entry["classes"]]
    needed, low, high = (float(value) for value in np.asarray(entry["needed"]))
    return Power(
        curve=entry["curve"].copy(),
        observed=entry["observed"].copy(),
        power=entry["power"].copy(),
        needed=needed,
        low=low,
        high=high,
        signal=bool(entry["signal"]),
        asked=tuple(int(n) for n in entry["asked"]),
        donors=dict(zip(classes, (int(n) for n in entry["donors"]), strict=True)),
        n_donors=int(entry["n_donors"]),
        chance=1 / len(classes),
        verdict=str(entry["verdict"]),
    )
