"""Mini-batches of samples, stratified by class."""

import numpy as np

from scggml._core.cohort import Integers


def stratified_batches(labels: Integers, batch_size: int | None, rng: np.random.Generator) -> list[Integers]:
    """Split all samples at random into batches of about `batch_size` with the classes in proportion.

    The samples of a class with too few to put two into each batch take turns, so they come up more than once in a pass.
    Without a batch size, or with one that holds all samples, the only batch is the whole cohort. Samples rise within a
    batch, so that a pair is the same pair, not its mirror image, in every batch.
    """
    n = len(labels)
    if batch_size is None or batch_size >= n:
        return [np.arange(n)]
    n_batches = -(-n // batch_size)
    members: list[list[Integers]] = [[] for _ in range(n_batches)]
    for code in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == code))
        if len(own) < 2 * n_batches:
            parts = [own[list({2 * b % len(own), (2 * b + 1) % len(own)})] for b in range(n_batches)]
        else:
            parts = np.array_split(own, n_batches)
        for batch, part in zip(members, parts, strict=True):
            batch.append(part)
    return [np.sort(np.concatenate(parts)) for parts in members]
