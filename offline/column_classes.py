"""The class of every column of a recording: what a network that judges each of them is taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline.datasets.base import Stretch

NOT_JUDGED = -1
"""Class of a column that is taught nothing."""


def column_classes(last_input: np.ndarray, stretches: Sequence[Stretch]) -> np.ndarray:
    """Return the class of every column of a pipeline's output.

    A column is of a class if all samples that it is made of lie in stretches of that class, as those of a window do.
    What lies in no stretch, and a frame across the begin or end of a seizure, is not judged. Delays of filters are not
    taken off: a column is late by as much as the windows that end with it.

    Parameters
    ----------
    last_input : ndarray of int64, shape (n_columns,)
        Index of the last raw sample behind each column.
    stretches : sequence of Stretch
        Labelled stretches, by start, that do not overlap.

    Returns
    -------
    classes : ndarray of int8, shape (n_columns,)
        `NOT_JUDGED` where there is none.
    """
    classes = np.full(len(last_input), NOT_JUDGED, dtype=np.int8)
    if not stretches:
        return classes
    spans: list[Stretch] = []
    for stretch in stretches:
        start = stretch.start
        if spans and spans[-1].stop == start and spans[-1].label == stretch.label:
            start = spans.pop().start
        spans.append(Stretch(start, stretch.stop, stretch.label))
    start, stop, label = np.array([(span.start, span.stop, span.label) for span in spans], dtype=np.int64).T
    span = np.searchsorted(start, last_input - last_input[:1], "right") - 1
    judged = (span >= 0) & (last_input < stop[span])
    classes[judged] = label[span[judged]]
    return classes


def earliest_starts(last_input: np.ndarray, n_window: int, stretches: Sequence[Stretch]) -> np.ndarray:
    """Return the first start of a window that ends in each stretch and begins in it or in those right before.

    Parameters
    ----------
    last_input : ndarray of int64, shape (n_columns,)
        Index of the last raw sample behind each column.
    n_window : int
        Columns of a window.
    stretches : sequence of Stretch
        Labelled stretches, by start. Between two that do not touch lies what must not be read: in a split in time it
        may be of another side.

    Returns
    -------
    starts : ndarray of int64, shape (n_stretches,)
    """
    begun: list[int] = []
    for i, stretch in enumerate(stretches):
        begun.append(begun[-1] if i and stretches[i - 1].stop == stretch.start else stretch.start)
    start = np.array([stretch.start for stretch in stretches], dtype=np.int64)
    ends_inside = np.searchsorted(last_input, start) - n_window + 1
    inside = np.searchsorted(last_input - last_input[:1], np.array(begun, dtype=np.int64))
    return np.maximum(ends_inside, inside).astype(np.int64)
