"""Maps of head and helmet: values at sensors, interpolated by where the sensors are."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from apps.monitor.colours import N_COLOURS, colour_map
from apps.monitor.described import Described
from apps.monitor.history import History
from bci.errors import SpecError
from bci.stages.electrodes import electrode_positions, plain_name
from bci.stages.interpolation import spline_weights

SIZE_PX = 96
PERIOD_S = 0.1
POWER_S = 1.0
KEPT_S = 2.0
MIN_SENSORS = 4
MAX_SENSORS = 512  # the weights of 1024 would hold the window up for seconds
BANDS_HZ = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0), "gamma": (30.0, 45.0)}
FIELD, GRADIENT, POTENTIAL = "field", "gradient (pairs)", "potential"
LOWEST_POWER = 1e-6
RELAX = 0.98  # of the range per map, towards what is there
_FLATTEST = 0.05  # share of the spread that must be across the plane
_EDGE = 1.05


class MapPanel:
    """A map of the newest values of a stream that has positions.

    Parameters
    ----------
    size_px : int, default=96
        Width and height of the image.
    """

    def __init__(self, size_px: int = SIZE_PX) -> None:
        self.generation = 0
        """Grows when `kinds`, `names` or `positions` are others."""
        self.image = np.zeros((size_px, size_px), np.uint32)
        self.kind, self.range, self.unit = "", (0.0, 1.0), ""
        self.why_empty = "No signal yet."
        self.colours = colour_map("viridis")
        self._groups: dict[str, _Sensors] = {}
        self._described: Described | None = None
        self._history = History(0, 0.0, KEPT_S)
        self._bad: frozenset[str] = frozenset()
        self._weights: np.ndarray | None = None
        self._painted_s = -math.inf

    @property
    def kinds(self) -> tuple[str, ...]:
        """Maps that there are."""
        return tuple(self._groups)

    @property
    def names(self) -> tuple[str, ...]:
        """Sensors of this map."""
        return self._groups[self.kind].names if self.kind else ()

    @property
    def positions(self) -> np.ndarray:
        """Where they are in the image, shape (n, 2): x to the right, y down, from 0 to 1, the nose on top."""
        return self._groups[self.kind].places if self.kind else np.zeros((0, 2))

    def choose(self, kind: str) -> None:
        """Show another map.

        Raises
        ------
        SpecError
            If there is none of that name.
        """
        if kind not in self._groups:
            raise SpecError(f"The map can show {', '.join(self.kinds) or 'nothing yet'}, got {kind!r}.")
        self.kind = kind
        group = self._groups[kind]
        self.colours = colour_map("signed" if group.signed else "viridis")
        self.unit, self.range = group.unit, (-1e-9, 1e-9)
        self._weights = None
        self.image.fill(0)
        self.generation += 1

    def connect(self, described: Described) -> None:
        """Begin with a stream; one without enough positions gives no map, and `why_empty` says why."""
        self._described = described
        self._groups = {kind: group for kind, group in _kinds(described).items() if len(group.names) <= MAX_SENSORS}
        self._history = History(len(described.labels), described.sfreq, KEPT_S)
        if not self._groups:
            self.kind, self._weights = "", None
            self.image.fill(0)
            self.why_empty = f"A map needs {MIN_SENSORS} to {MAX_SENSORS} channels with known places."
            self.generation += 1
            return
        self.why_empty = ""
        self.choose(self.kind if self.kind in self._groups else "alpha" if "alpha" in self._groups else self.kinds[0])

    def set_bad(self, bad: Mapping[str, str]) -> None:
        """Leave bad channels out."""
        if frozenset(bad) != self._bad:
            self._bad = frozenset(bad)
            self._weights = None  # it costs too much for a map that nobody looks at

    def push(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take the next samples, shape (n_channels, n_samples); those of other channels are dropped."""
        if self._described is not None and data.shape == (len(self._described.labels), len(stamps)):
            self._history.push(data, stamps)

    def paint(self, now_s: float) -> bool:
        """Paint a new map, at most ten a second; return whether there is one.

        Parameters
        ----------
        now_s : float
            Any clock, in seconds.
        """
        if not self.kind or now_s - self._painted_s < PERIOD_S or self._described is None:
            return False
        self._painted_s = now_s
        weights = self._weigh() if self._weights is None else self._weights
        values = self._groups[self.kind].values(self._history, self._described.sfreq)[self._used]
        if not np.isfinite(values).all():  # no older map is left there: it would pass for one of now
            was_there = bool(self.image.any())
            self.image.fill(0)
            return was_there
        # one product: nothing but this is done ten times a second
        field = weights @ values
        low, high = _relaxed(self.range, field, self._groups[self.kind].signed)
        self.range = (low, high)
        share = np.clip((field - low) / (high - low), 0, 1)
        self.image[self._inside] = self.colours[np.rint(share * (N_COLOURS - 1)).astype(np.int64)]
        return True

    def _weigh(self) -> np.ndarray:
        """Make the matrix from sensors to pixels: once per set of sensors, not per map."""
        group = self._groups[self.kind]
        good = np.array([name not in self._bad for name in group.names])
        self._used = np.flatnonzero(good) if good.sum() >= MIN_SENSORS else np.arange(len(good))
        grid, self._inside = _grid(len(self.image), group.reach)
        self._weights = spline_weights(group.directions[self._used], grid)
        self.image.fill(0)
        return self._weights


class _Sensors:
    """Sensors of one map, and what is taken from them."""

    def __init__(
        self, described: Described, channels: list[tuple[int, ...]], directions: np.ndarray, kind: str, unit: str
    ) -> None:
        self.names = tuple(described.labels[group[0]] for group in channels)
        self._channels = channels
        self.directions = directions
        polar = np.arccos(np.clip(directions[:, 2], -1, 1))
        self.reach = max(math.pi / 2, _EDGE * float(polar.max()))
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        self.places = 0.5 + 0.5 * (polar / self.reach)[:, None] * np.stack([np.cos(azimuth), -np.sin(azimuth)], axis=1)
        self.unit, self.signed = unit, kind in (FIELD, POTENTIAL)
        self._band = BANDS_HZ.get(kind)
        self._is_magnitude = kind == GRADIENT

    def values(self, history: History, sfreq: float) -> np.ndarray:
        """Return the newest value of each sensor, shape (n_sensors,); NaN where there is none."""
        n = max(1, round(POWER_S * sfreq)) if self._band else 1
        data, _ = history.newest(n)
        if data.shape[1] < n:
            return np.full(len(self.names), math.nan)
        if self._band:
            data = data[[group[0] for group in self._channels]]
            return band_power_db(data, sfreq, *self._band)
        newest = data[:, -1].astype(np.float64)
        if not self._is_magnitude:
            return newest[[group[0] for group in self._channels]]
        return np.array([math.hypot(*newest[list(group)]) for group in self._channels])


def band_power_db(data: np.ndarray, sfreq: float, low_hz: float, high_hz: float) -> np.ndarray:
    """Return the power of each channel within a band, in dB of its unit squared.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        As the decoder has filtered it; a Hann window is put over it.
    sfreq : float
        Rate, in Hz.
    low_hz, high_hz : float
        Band, in Hz.
    """
    n = data.shape[1]
    window = np.hanning(n + 2)[1:-1]
    with np.errstate(invalid="ignore", over="ignore"):
        spectrum = np.fft.rfft((data - data.mean(axis=1, keepdims=True)) * window, axis=1)
        power = 2 * np.abs(spectrum) ** 2 / (n * (window**2).sum())
    hz = np.fft.rfftfreq(n, 1 / sfreq)
    band = power[:, (hz >= low_hz) & (hz < high_hz)].sum(axis=1)
    return 10 * np.log10(np.maximum(band, LOWEST_POWER))


def sensor_places(described: Described) -> np.ndarray:
    """Return the direction of each channel from the middle of the head, shape (n_channels, 3); NaN where unknown.

    Positions of the description are taken relative to the sphere that fits them best; without any, names of the 10-20
    and 10-10 systems have their places on the ideal sphere.
    """
    n = len(described.labels)
    if described.positions is not None and len(described.positions) == n:
        known = np.isfinite(described.positions).all(axis=1)
        if known.sum() >= MIN_SENSORS and (centre := _sphere(described.positions[known])) is not None:
            away = described.positions - centre
            with np.errstate(invalid="ignore", divide="ignore"):
                return away / np.linalg.norm(away, axis=1, keepdims=True)
    places = electrode_positions()
    nowhere = np.full(3, math.nan)
    return np.array([places.get(plain_name(label), nowhere) for label in described.labels]).reshape(n, 3)


def _sphere(positions: np.ndarray) -> np.ndarray | None:
    """Return the centre of the sphere that fits best; None if all lie in a plane."""
    spread = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
    if not spread[-1] > _FLATTEST * spread[0]:
        return None
    system = np.column_stack([2 * positions, np.ones(len(positions))])
    centre: np.ndarray = np.linalg.lstsq(system, (positions**2).sum(axis=1), rcond=None)[0][:3]
    return centre


def _kinds(described: Described) -> dict[str, _Sensors]:
    """Return the maps of a stream."""
    places = sensor_places(described)
    known = [i for i in range(len(described.labels)) if np.isfinite(places[i]).all()]
    units = described.units if len(described.units) == len(described.labels) else ("",) * len(described.labels)
    by_unit: dict[str, list[int]] = {}
    for i in known:
        by_unit.setdefault(units[i], []).append(i)
    found: dict[str, _Sensors] = {}
    for unit, members in by_unit.items():
        singles: list[tuple[int, ...]] = [(i,) for i in _apart(members, places)]
        if unit == "fT/cm":
            pairs = _pairs(members, places)
            if len(pairs) >= MIN_SENSORS:
                found[GRADIENT] = _Sensors(described, pairs, places[[p[0] for p in pairs]], GRADIENT, unit)
        elif len(singles) >= MIN_SENSORS:
            where = places[[group[0] for group in singles]]
            if unit == "fT":
                found[FIELD] = _Sensors(described, singles, where, FIELD, unit)
                continue
            if described.sfreq > 0:
                for band, (_, high_hz) in BANDS_HZ.items():
                    if high_hz <= described.sfreq / 2:
                        found[band] = _Sensors(described, singles, where, band, f"dB {unit}²")
            found[POTENTIAL] = _Sensors(described, singles, where, POTENTIAL, unit)
    return found


def _apart(members: list[int], places: np.ndarray) -> list[int]:
    """Return members without those that are at the place of another."""
    seen: dict[tuple[float, ...], int] = {}
    for i in members:
        seen.setdefault(tuple(np.round(places[i], 4).tolist()), i)
    return list(seen.values())


def _pairs(members: list[int], places: np.ndarray) -> list[tuple[int, ...]]:
    """Return the members at each place, one or two."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for i in members:
        groups.setdefault(tuple(np.round(places[i], 2).tolist()), []).append(i)
    return [tuple(group[:2]) for group in groups.values()]


def _grid(size_px: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return directions of the pixels within the head, shape (n_inside, 3), and which these are."""
    at = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    x, y = np.meshgrid(at, -at)
    radius = np.hypot(x, y)
    inside = radius <= 1
    polar, azimuth = radius[inside] * reach, np.arctan2(y[inside], x[inside])
    directions = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)]
    return np.stack(directions, axis=1), inside


def _relaxed(before: tuple[float, float], field: np.ndarray, signed: bool) -> tuple[float, float]:
    """Return a range that holds all values, and comes back slowly, so that colours stay comparable."""
    low, high = float(field.min()), float(field.max())
    if signed:
        most = max(abs(low), abs(high), RELAX * before[1], 1e-9)
        return -most, most
    if before[1] - before[0] < 1e-6:
        return low - 0.5, high + 0.5
    return min(low, low + RELAX * (before[0] - low)), max(high, high + RELAX * (before[1] - high), low + 1e-6)
