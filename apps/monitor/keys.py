"""What the keyboard does, in one table: menus, the list on F1 and the documentation come from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that the window does.

    Parameters
    ----------
    menu : str
        Menu that offers it.
    name : str
        Of the action; identifies it.
    keys : tuple of str
        As Qt writes them.
    text : str
        What the menu says.
    """

    menu: str
    name: str
    keys: tuple[str, ...]
    text: str


KEYS = (
    Key("Session", "acknowledge", ("A",), "Acknowledge the alarm"),
    Key("Session", "mute", ("M",), "Mute, or end a mute"),
    Key("Session", "pause", ("K",), "Pause the replay, or go on"),
    Key("Session", "export", ("Ctrl+E",), "Export the summary (PNG and CSV)"),
    Key("Session", "screenshot", ("F12",), "Screenshot"),
    Key("Session", "close", ("Ctrl+Q",), "Close"),
    Key("Traces", "hold", ("H",), "Hold the traces, or go on"),
    Key("Traces", "earlier", (",",), "Hold, half a screen earlier"),
    Key("Traces", "later", (".",), "Half a screen later"),
    Key("Traces", "larger", ("+", "="), "Larger traces (wheel)"),
    Key("Traces", "smaller", ("-",), "Smaller traces (wheel)"),
    Key("Traces", "less_time", ("]",), "Less time on the screen (Ctrl and wheel)"),
    Key("Traces", "more_time", ("[",), "More time on the screen (Ctrl and wheel)"),
    Key("Traces", "source", ("R",), "Raw or filtered signal"),
    Key("Traces", "montage", ("G",), "Next montage"),
    Key("Traces", "motion", ("W",), "Scroll or sweep"),
    Key("Traces", "recentre", ("C",), "Bring traces back to their places"),
    Key("View", "spectrogram_next", ("S",), "Spectrogram of the next channel or region"),
    Key("View", "spectrogram_fit", ("D",), "Fit the colours of the spectrogram"),
    Key("View", "map_next", ("P",), "Next map"),
    Key("View", "theme", ("T",), "Dark or light theme"),
    Key("View", "full_screen", ("F11",), "Full screen"),
    Key("View", "first_layout", ("Ctrl+0",), "Panels as they were at first"),
    Key("View", "next_panel", ("F6",), "Next panel"),
    Key("View", "show_state", ("Ctrl+1",), "State"),
    Key("View", "show_probabilities", ("Ctrl+2",), "Probabilities"),
    Key("View", "show_spectrogram", ("Ctrl+3",), "Spectrogram"),
    Key("View", "show_health", ("Ctrl+4",), "Latency and health"),
    Key("View", "show_maps", ("Ctrl+5",), "Map"),
    Key("View", "show_events", ("Ctrl+6",), "Events"),
    Key("View", "show_replay", ("Ctrl+7",), "Replay"),
    Key("Help", "help", ("F1",), "Keys"),
)
"""Tab moves within a panel, Enter in the list of events goes to the time of one."""
