"""Ways to cut a stream into chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def ones(n_samples: int) -> list[int]:
    """Return sizes of one sample each."""
    return [1] * n_samples


def random_with_zeros(n_samples: int) -> list[int]:
    """Return random sizes up to 97, a fifth of them 0, the first and the last among these."""
    rng = np.random.default_rng(n_samples)
    sizes = [0]
    while (left := n_samples - sum(sizes)) > 0:
        sizes.append(0 if rng.random() < 0.2 else int(min(left, rng.integers(1, 98))))
    return [*sizes, 0]


def halves(n_samples: int) -> list[int]:
    """Return two sizes, the first the smaller."""
    return [n_samples // 3, n_samples - n_samples // 3]


def split(x: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    """Yield copies of stretches of `x`, time last, that cover it all."""
    assert sum(sizes) == x.shape[-1]
    start = 0
    for size in sizes:
        yield x[..., start : start + size].copy()
        start += size
