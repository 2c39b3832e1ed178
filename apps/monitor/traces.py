"""The traces: a signal in a montage, as an image that only new columns are painted into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from apps.monitor.described import Described
from apps.monitor.draw import Lanes, TraceColours, TraceImage
from apps.monitor.montage import PUBLISHED, Montage
from apps.monitor.raster import MinMaxRaster
from apps.monitor.shown_signal import ELECTRIC, SCALES, ShownSignal
from bci.errors import SpecError

FILTERED, RAW = "filtered", "raw"
SHORTEST_S, LONGEST_S = 1.0, 60.0
RECENTRE_S = 1.0  # of signal that offsets are taken from
FIRST_CENTRED_S = 0.5
DRIFT_LANES = 0.5  # a baseline further away from its lane is brought back


class TracePanel:
    """What the traces show, and the image of it.

    Parameters
    ----------
    width_px, height_px : int, default=800, 600
        Size of the image.
    span_s : float, default=10.0
        Time on the screen, in seconds.
    """

    def __init__(self, width_px: int = 800, height_px: int = 600, span_s: float = 10.0) -> None:
        self.generation = 0
        """Grows when `image` is another array, or `names` are others."""
        self.span_s = span_s
        self.scale = SCALES[ELECTRIC]
        """Height of a lane, in the first unit of the signal."""
        self.source, self.montage = "", PUBLISHED
        self._sources: dict[str, ShownSignal] = {}
        self._bad: Mapping[str, str] = {}
        self._doubtful: frozenset[str] = frozenset()
        self.doubtful: frozenset[str] = frozenset()
        """Traces that are not bad, but may become so; a pair is as its worse channel is."""
        self._colours = TraceColours()
        self._image = TraceImage(width_px, height_px)
        self._image.clear(self._colours.background)
        self._raster: MinMaxRaster | None = None
        self._offsets = np.zeros(0, np.float32)
        self._ratios = np.ones(0, np.float32)  # of each trace's unit
        self._centred_s = math.nan
        self._painted_generation = 0
        self._held_s = math.nan
        self._trace_colours = np.zeros(0, np.uint32)

    # --- what is shown ----------------------------------------------------------------------------------------------

    @property
    def image(self) -> np.ndarray:
        """Pixels ``0xAARRGGBB``, shape (height_px, width_px): a ring of columns, see `TraceImage`."""
        return self._image.pixels

    @property
    def head(self) -> int:
        """Where the next column goes."""
        return self._image.head

    @property
    def sources(self) -> tuple[str, ...]:
        """``filtered`` and ``raw``, as far as they have come."""
        return tuple(name for name in (FILTERED, RAW) if name in self._sources)

    @property
    def montages(self) -> tuple[str, ...]:
        """Montages that the channels allow."""
        return tuple(self._shown.montages) if self.source else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the traces from top to bottom."""
        return self._montage.names if self.source else ()

    @property
    def unit(self) -> str:
        """First unit of the signal; empty if there is none."""
        return self._shown.unit if self.source else ""

    def amounts(self, value: float) -> tuple[tuple[float, str], ...]:
        """Return what a value in the first unit stands for in each unit of the signal, as lanes show it."""
        return tuple((value * ratio, unit) for unit, ratio in self._shown.ratios.items()) if self.source else ()

    @property
    def sfreq(self) -> float:
        """Nominal rate, in Hz; 0 if irregular or unknown."""
        return self._shown.described.sfreq if self.source else 0.0

    @property
    def bad(self) -> dict[str, str]:
        """Bad traces, and why; a pair is bad if one of its channels is."""
        return {name: text for name, text in zip(self.names, self._reasons(), strict=True) if text}

    @property
    def newest_s(self) -> float:
        """Stamp up to which columns are complete; NaN before the first."""
        raster = self._raster
        return math.nan if raster is None or not raster.n_columns else raster.time_of(raster.n_columns)

    @property
    def lane_height_px(self) -> float:
        """Height of a lane, in pixels; NaN without traces."""
        return self.image.shape[0] / len(self.names) if self.names else math.nan

    def lane_y(self, trace: int) -> float:
        """Return the middle of a trace's lane, in pixels from the top."""
        return (trace + 0.5) * self.lane_height_px

    def x_of(self, stamp_s: float, scroll: bool) -> float:
        """Return where a time is, in pixels from the left; NaN if it is not on the screen."""
        if self._raster is None:
            return math.nan
        width, newest = self.image.shape[1], self._raster.n_columns
        column = self._raster.column_of(stamp_s)
        if not max(0, newest - width) <= column <= newest:
            return math.nan
        return column - newest + width if scroll else column % width

    def time_at(self, x_px: float, scroll: bool) -> float:
        """Return the time at a place, in pixels from the left; NaN where nothing was received yet."""
        if self._raster is None or not 0 <= x_px < self.image.shape[1]:
            return math.nan
        width, newest = self.image.shape[1], self._raster.n_columns
        turns = (newest - 1 - math.floor(x_px)) // width
        column = x_px + newest - width if scroll else x_px + width * turns
        return self._raster.time_of(column) if column >= 0 else math.nan

    # --- what the user changes --------------------------------------------------------------------------------------

    def resize(self, width_px: int, height_px: int) -> None:
        """Take another size; less than a pixel counts as one."""
        size = (max(1, height_px), max(1, width_px))
        if size != self.image.shape:
            self._image = TraceImage(size[1], size[0])
            self._renew()

    def set_span(self, span_s: float) -> None:
        """Show another span, within 1 to 60 s."""
        self.span_s = min(max(span_s, SHORTEST_S), LONGEST_S)
        self._rebuild()

    def set_scale(self, scale: float) -> None:
        """Make a lane as high as `scale`, in units of the signal.

        Raises
        ------
        SpecError
            If that is no height.
        """
        if not 0 < scale < math.inf:
            raise SpecError(f"A lane needs a height above 0 {self.unit}, got {scale:g}.")
        self.scale = scale
        self._repaint()

    def choose_source(self, source: str) -> None:
        """Show another signal.

        Raises
        ------
        SpecError
            If it has not come.
        """
        if source not in self._sources:
            raise SpecError(f"Traces can show {' or '.join(self.sources) or 'no signal yet'}, got {source!r}.")
        before = self._shown.usual_scale if self.source else SCALES[ELECTRIC]
        self.source = source
        if self._shown.usual_scale != before:
            self.scale = self._shown.usual_scale
        if self.montage not in self._shown.montages:
            self.montage = PUBLISHED
        self._renew()

    def choose_montage(self, montage: str) -> None:
        """Show another montage.

        Raises
        ------
        SpecError
            If the channels do not allow it.
        """
        if montage not in self.montages:
            raise SpecError(f"These channels can be shown {', '.join(self.montages) or 'not yet'}, got {montage!r}.")
        self.montage = montage
        self._renew()

    def set_colours(self, colours: TraceColours) -> None:
        """Paint in other colours."""
        self._colours = colours
        self._repaint()

    @property
    def is_held(self) -> bool:
        """Whether the picture stays where `hold` has put it."""
        return not math.isnan(self._held_s)

    @property
    def oldest_s(self) -> float:
        """Stamp of the oldest sample that is kept; NaN before one."""
        return self._shown.history.oldest_s if self.source else math.nan

    @property
    def latest_s(self) -> float:
        """Stamp of the newest sample, also while the picture is held; NaN before one."""
        return self._shown.history.newest_s if self.source else math.nan

    def hold(self, stamp_s: float) -> None:
        """Show what came up to `stamp_s`, as far as it is kept, and stay there; NaN goes on with what comes."""
        if not (math.isnan(stamp_s) and math.isnan(self._held_s)):
            self._held_s = stamp_s
            self._rebuild()

    def recentre(self) -> None:
        """Bring each raw trace into the middle of its lane, where it was in the last second; filtered ones have 0."""
        self._offsets = self._middles()
        self._centred_s = self.newest_s
        self._repaint()

    # --- what comes -------------------------------------------------------------------------------------------------

    def connect(self, source: str, described: Described) -> None:
        """Begin with a stream, or go on with one that comes again as it was; the filtered one is shown first."""
        if not described.labels:
            self._forget(source)
            return
        known = self._sources.get(source)
        if known is not None and known.is_like(described):
            return
        self._sources[source] = ShownSignal(described)
        if source == self.source or source == FILTERED or not self.source:
            self.choose_source(source)

    def _forget(self, source: str) -> None:
        """Show no stream that has no channels any more."""
        self._sources.pop(source, None)
        if source == self.source:
            self.source, self._raster = "", None
            if self.sources:
                self.choose_source(self.sources[0])
            else:
                self._renew()

    def push(self, source: str, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take the next samples of a stream, shape (n_channels, n_samples); those of other channels are dropped."""
        known = self._sources.get(source)
        if known is None or data.shape != (len(known.described.labels), len(stamps)) or not len(stamps):
            return
        known.history.push(data, stamps)
        if source == self.source and self._raster is not None and not self.is_held:
            self._raster.push(self._montage.apply(data, self._bad_channels()), stamps)

    def set_bad(self, bad: Mapping[str, str], doubtful: frozenset[str] = frozenset()) -> None:
        """Grey what is bad (channel → reasons, both printable), and give what is doubtful a colour of its own."""
        if bad == self._bad and doubtful == self._doubtful:
            return
        averaged = self.source and self._montage.average and bad != self._bad
        self._bad, self._doubtful = MappingProxyType(dict(bad)), doubtful
        if averaged:
            self._rebuild()
        else:
            self._repaint()

    def paint(self) -> bool:
        """Paint what is new into `image`; return whether that is anything."""
        if self._raster is None:
            return False
        if self._raster.generation != self._painted_generation:
            self._repaint()
        if self.source == RAW:
            self._follow()
        lanes = Lanes(self.image.shape[0], self.scale * self._ratios, self._offsets)
        return self._image.paint(self._raster, lanes, self._trace_colours, self._colours.background) > 0

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _shown(self) -> ShownSignal:
        return self._sources[self.source]

    @property
    def _montage(self) -> Montage:
        return self._shown.montages[self.montage]

    def _bad_channels(self) -> frozenset[int]:
        return frozenset(i for i, label in enumerate(self._shown.described.labels) if label in self._bad)

    def _reasons(self) -> list[str]:
        if not self.source:
            return []
        labels, montage = self._shown.described.labels, self._montage
        return [
            "; ".join(
                f"{labels[i]}: {self._bad[labels[i]]}" if montage.minus is not None else self._bad[labels[i]]
                for i in montage.channels(trace)
                if labels[i] in self._bad
            )
            for trace in range(len(montage.names))
        ]

    def _qualities(self) -> list[str]:
        """Return ``good``, ``doubtful`` or ``bad`` for each trace: that of its worst channel."""
        if not self.source:
            return []
        labels, montage = self._shown.described.labels, self._montage
        pairs = [[labels[i] for i in montage.channels(trace)] for trace in range(len(montage.names))]
        return [
            "bad" if any(c in self._bad for c in pair)
            else "doubtful" if any(c in self._doubtful for c in pair)
            else "good"
            for pair in pairs
        ]  # fmt: skip

    def _renew(self) -> None:
        self.generation += 1
        self._rebuild()

    def _rebuild(self) -> None:
        """Make the columns anew from what is kept."""
        if not self.source:
            self._image.clear(self._colours.background)
            return
        self._ratios = self._shown.trace_ratios(self._montage)
        self._raster = MinMaxRaster(len(self.names), self.image.shape[1], self.span_s, self.sfreq)
        shown = round(1.1 * self.span_s * self.sfreq) + 2 if self.sfreq else len(self._shown.history)
        history = self._shown.history
        data, stamps = history.before(self._held_s, shown) if self.is_held else history.newest(shown)
        self._raster.push(self._montage.apply(data, self._bad_channels()), stamps)
        self.recentre()

    def _repaint(self) -> None:
        self._image.clear(self._colours.background)
        if self._raster is None:
            return
        self._painted_generation = self._raster.generation
        colours = {"good": self._colours.good, "doubtful": self._colours.doubtful, "bad": self._colours.bad}
        found = self._qualities()
        self.doubtful = frozenset(name for name, how in zip(self.names, found, strict=True) if how == "doubtful")
        self._trace_colours = np.array([colours[how] for how in found], np.uint32)

    def _middles(self) -> np.ndarray:
        """Return what is in the middle of each lane."""
        if not self.source:
            return np.zeros(0, np.float32)
        if self.source == RAW:
            n = max(1, round(RECENTRE_S * (self.sfreq or 1.0)))
            data = self._montage.apply(self._shown.history.newest(n)[0], self._bad_channels())
            known = np.isfinite(data).any(axis=1) if data.size else np.zeros(len(self.names), bool)
            middles = np.zeros(len(self.names), np.float32)
            finite = np.where(np.isfinite(data[known]), data[known], np.nan).astype(np.float64)  # sums of two overflow
            middles[known] = np.nanmedian(finite, axis=1)
            return middles
        return np.zeros(len(self.names), np.float32)

    def _follow(self) -> None:
        """Take new offsets once a span, and at first as soon as they are known, if a trace has left its lane."""
        due = len(self._shown.history) >= FIRST_CENTRED_S * self.sfreq and math.isnan(self._centred_s)
        if due or self.newest_s - self._centred_s >= self.span_s:
            self._centred_s = self.newest_s
            if (np.abs(self._middles() - self._offsets) > DRIFT_LANES * self.scale * self._ratios).any():
                self.recentre()
