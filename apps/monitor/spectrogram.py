"""The spectrogram: the decoder's own features as an image that only new frames are painted into."""

from __future__ import annotations

import math
import re

import numpy as np

from apps.monitor.colours import N_COLOURS, colour_map
from apps.monitor.described import Described
from apps.monitor.history import History
from apps.monitor.montage import clinical_order
from bci.errors import SpecError
from bci.stages.electrodes import electrode_positions, plain_name

ALL = "all channels"
REGIONS = {"frontal": "f", "central": "c", "temporal": "t", "parietal": "p", "occipital": "o"}
SHORTEST_S, LONGEST_S = 2.0, 60.0
MIN_BREAK_S = 0.5
MAX_PIXELS = 4 << 20
SPARE_DB = 10.0  # above what the first second has
BREAK_FRAMES = 2.5
_MIDLINE_X = 0.05
_LABEL = re.compile(r"(.*)@mel(\d+)")


class SpectrogramPanel:
    """Features of a channel or the mean of a region, in dB, over the last seconds.

    Parameters
    ----------
    span_s : float, default=30.0
        Time on the screen, in seconds.
    colours : str, default="viridis"
        Name of a map.
    """

    def __init__(self, span_s: float = 30.0, colours: str = "viridis") -> None:
        self.generation = 0
        """Grows when `image` is another array."""
        self.span_s, self.choice = span_s, ALL
        self.range_db = (-10.0, 40.0)
        self.colours = colour_map(colours)
        """Colours from the lower to the upper end of `range_db`, shape (256,)."""
        self.background = 0xFF10141A
        self.n_mels = 0
        self.centres_hz: tuple[float, ...] = ()
        self._rate = 0.0
        self._groups: dict[str, np.ndarray] = {}
        self._is_ranged = False
        self._described = Described("", "")
        self._n_channels = 0
        self._held_s = math.nan
        self._history = History(0, 0.0)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._clear()

    # --- what is shown ----------------------------------------------------------------------------------------------

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be shown: all channels, regions, channels."""
        return tuple(self._groups)

    @property
    def shown_s(self) -> float:
        """Time from the left to the right, in seconds: the span, where there is room for it."""
        return self.image.shape[1] / self._rate if self._rate > 0 else self.span_s

    @property
    def head(self) -> int:
        """Where the next column goes."""
        return self._n_columns % self.image.shape[1]

    @property
    def newest_s(self) -> float:
        """Stamp of the newest frame; NaN before one."""
        return float(self._stamps[(self._n_columns - 1) % len(self._stamps)]) if self._n_columns else math.nan

    def x_of(self, stamp_s: float, scroll: bool) -> float:
        """Return where a time is, in columns from the left; NaN if it is not on the screen."""
        first, stamps = self._kept()
        if not len(stamps) or not stamps[0] <= stamp_s <= stamps[-1]:
            return math.nan
        column = first + float(np.interp(stamp_s, stamps, np.arange(len(stamps))))
        width = self.image.shape[1]
        return column - self._n_columns + width if scroll else column % width

    def time_at(self, x_px: float, scroll: bool) -> float:
        """Return the time at a place, in columns from the left; NaN where nothing was received yet."""
        first, stamps = self._kept()
        width = self.image.shape[1]
        if not len(stamps) or not 0 <= x_px < width:
            return math.nan
        turns = (self._n_columns - 1 - math.floor(x_px)) // width
        at = (x_px + self._n_columns - width if scroll else x_px + width * turns) - first
        return float(np.interp(at, np.arange(len(stamps)), stamps)) if at >= 0 else math.nan

    # --- what the user changes --------------------------------------------------------------------------------------

    def choose(self, choice: str) -> None:
        """Show another channel or region.

        Raises
        ------
        SpecError
            If there is none of that name.
        """
        if choice not in self._groups:
            raise SpecError(f"The spectrogram can show {', '.join(self.choices) or 'nothing yet'}, got {choice!r}.")
        self.choice = choice
        self._rebuild()

    def set_range(self, low_db: float, high_db: float) -> None:
        """Spread the colours over another range.

        Raises
        ------
        SpecError
            If it is none.
        """
        if not -math.inf < low_db < high_db < math.inf:
            raise SpecError(f"The colours need a range of dB with low below high, got {low_db:g} to {high_db:g}.")
        self.range_db, self._is_ranged = (low_db, high_db), True
        self._rebuild()

    def fit_range(self) -> None:
        """Spread the colours over what is on the screen."""
        data = self._shown()[0] if self.n_mels else np.zeros((0, 0))
        frames = self._mean(data) if data.size else data
        if np.isfinite(frames).any():
            self.set_range(*_range_of(frames))

    def set_span(self, span_s: float) -> None:
        """Show another span, within 2 to 60 s."""
        self.span_s = min(max(span_s, SHORTEST_S), LONGEST_S)
        self._rebuild()

    @property
    def is_held(self) -> bool:
        """Whether the picture stays where `hold` has put it."""
        return not math.isnan(self._held_s)

    def hold(self, stamp_s: float) -> None:
        """Show what came up to `stamp_s`, as far as it is kept, and stay there; NaN goes on with what comes."""
        if not (math.isnan(stamp_s) and math.isnan(self._held_s)):
            self._held_s = stamp_s
            self._rebuild()

    def set_background(self, colour: int) -> None:
        """Paint what is empty in another colour, ``0xAARRGGBB``."""
        self.background = colour
        self._rebuild()

    # --- what comes -------------------------------------------------------------------------------------------------

    def connect(self, described: Described) -> None:
        """Begin with a stream of features, labelled ``CHANNEL@mel00``, …, channel by channel; others show nothing.

        One that comes again as it was goes on.
        """
        mine, self._described = self._described, described
        if (described.labels, described.sfreq, described.bands_hz) == (mine.labels, mine.sfreq, mine.bands_hz):
            return
        channels: dict[str, int] = {}
        for label in described.labels:
            found = _LABEL.fullmatch(label)
            channels[found[1] if found else ""] = channels.get(found[1] if found else "", 0) + 1
        counts = set(channels.values())
        usable = "" not in channels and len(counts) == 1
        self.n_mels = counts.pop() if usable else 0
        self._groups = _groups(tuple(channels)) if usable else {}
        self._rate = described.sfreq
        self.centres_hz = described.bands_hz[: self.n_mels] if len(described.bands_hz) >= self.n_mels else ()
        if self.choice not in self._groups:
            self.choice = ALL
        self._history = History(len(described.labels) if usable else 0, described.sfreq)
        self._n_channels = len(channels) if usable else 0
        self._rebuild()

    def push(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take the next frames, shape (n_channels · n_mels, n_frames); those of other channels are dropped."""
        if self.n_mels and len(stamps) and data.shape == (self._n_channels * self.n_mels, len(stamps)):
            if not (known := np.isfinite(stamps)).all():
                data, stamps = data[:, known], stamps[known]
            self._history.push(data, stamps)
            if not self.is_held:
                self._waiting.append((data, stamps))

    def paint(self) -> bool:
        """Paint what is new into `image`; return whether that is anything."""
        waiting, generation = list(self._waiting), self.generation
        self._waiting.clear()
        for data, stamps in waiting:
            self._append(self._mean(data), stamps)
            if self.generation != generation:
                break  # it was made anew from all that has come
        return bool(waiting)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        n_columns = max(2, round(self.span_s * self._rate)) if self._rate > 0 else 500
        n_columns = min(n_columns, MAX_PIXELS // max(1, self.n_mels))  # a description can claim any rate
        self.image = np.full((max(1, self.n_mels), n_columns), self.background, np.uint32)
        self._stamps = np.full(n_columns, math.nan)
        self._n_columns = 0
        self._waiting.clear()
        self.generation += 1

    def _rebuild(self) -> None:
        self._clear()
        if self.n_mels:
            data, stamps = self._shown()
            self._append(self._mean(data), stamps)

    def _shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and stamps that fill the picture, of all channels."""
        n = self.image.shape[1]
        return self._history.before(self._held_s, n) if self.is_held else self._history.newest(n)

    def _kept(self) -> tuple[int, np.ndarray]:
        first = max(0, self._n_columns - len(self._stamps))
        return first, self._stamps[np.arange(first, self._n_columns) % len(self._stamps)]

    def _mean(self, data: np.ndarray) -> np.ndarray:
        """Return the chosen features, shape (n_mels, n_frames)."""
        cube = data.reshape(self._n_channels, self.n_mels, data.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            return cube[self._groups[self.choice]].mean(axis=0)

    def _append(self, frames: np.ndarray, stamps: np.ndarray) -> None:
        is_final = False
        if not self._is_ranged and np.isfinite(frames).sum() >= frames.shape[0] > 0:
            low, high = _range_of(frames)
            self.range_db = (low, high + SPARE_DB)
            self._is_ranged = is_final = self._n_columns + len(stamps) >= self._rate  # after a second it stays
        pixels = self._pixels(frames)
        break_s = max(MIN_BREAK_S, BREAK_FRAMES / self._rate) if self._rate > 0 else math.inf
        width = self.image.shape[1]
        for i, stamp in enumerate(stamps):
            step = float(stamp) - self.newest_s
            if step > break_s:
                for _ in range(1, min(width, round(step * self._rate))):
                    self._put(np.uint32(self.background), self.newest_s + 1 / self._rate)
            elif step < 0:
                stamp = self.newest_s  # the times of columns rise
            self._put(pixels[:, i], float(stamp))
        if is_final:
            self._rebuild()  # what is there has other colours

    def _put(self, column: np.ndarray | np.uint32, stamp_s: float) -> None:
        at = self.head
        self.image[:, at], self._stamps[at] = column, stamp_s
        self._n_columns += 1

    def _pixels(self, frames: np.ndarray) -> np.ndarray:
        """Return the colours of frames, the highest band on top; what is no number has the background's."""
        low, high = self.range_db
        known = np.isfinite(frames)
        share = np.clip((np.where(known, frames, low) - low) / (high - low), 0, 1)
        pixels = self.colours[np.rint(share * (N_COLOURS - 1)).astype(np.int64)]
        return np.where(known, pixels, np.uint32(self.background))[::-1]


def _range_of(frames: np.ndarray) -> tuple[float, float]:
    """Return a range in steps of 5 dB that nearly all values are in."""
    known = frames[np.isfinite(frames)]
    low, high = float(np.percentile(known, 5)), float(np.percentile(known, 99))
    low_db = 5.0 * math.floor(low / 5)
    return low_db, max(low_db + 5, 5.0 * math.ceil(high / 5))


def _groups(channels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the channels of each choice."""
    groups = {ALL: np.arange(len(channels))}
    places = electrode_positions()
    names = [plain_name(re.split(r"[-–]", channel, maxsplit=1)[0]) for channel in channels]
    known = [i for i, name in enumerate(names) if name in places]
    x = {i: float(places[names[i]][0]) for i in known}
    sides = {"left": lambda i: x[i] < -_MIDLINE_X, "right": lambda i: x[i] > _MIDLINE_X}
    for side, belongs in sides.items():
        groups[f"{side} hemisphere"] = np.array([i for i in known if belongs(i)], np.int64)
    for region, letter in REGIONS.items():
        groups[region] = np.array([i for i in known if names[i].startswith(letter)], np.int64)
    groups = {name: members for name, members in groups.items() if len(members)}
    return groups | {channels[i]: np.array([i]) for i in clinical_order(channels)}
