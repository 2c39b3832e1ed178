"""The start dialog lists what there is, with what fits what."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialogButtonBox

from apps.monitor.catalogue import BundleChoice, Catalogue, StreamChoice
from apps.monitor.options import MonitorOptions, Start
from apps.monitor.theme import DARK, THEMES, contrast
from bci.chunk import Signal
from bci.stages.montages import TEN_TWENTY_19

pytestmark = pytest.mark.qt

SESSION = StreamChoice("headset-pred", "predictions", "Predictions, 5 channels", (), (), 0.0)
HEADSET = StreamChoice("headset", "signal", "EEG, 19 channels, 256 Hz", TEN_TWENTY_19, ("uV",) * 19, 256.0)
OTHER = StreamChoice("<b>two</b>", "signal", "EEG, 2 channels, 256 Hz", ("A", "B"), ("uV", "uV"), 256.0)
MARKERS = StreamChoice("marks", "other", "Markers, 1 channel, irregular", (), (), 0.0)
BUNDLE = BundleChoice("seizure-demo", Path("seizure-demo"), "background, seizure", Signal(256.0, TEN_TWENTY_19, "uV"))
BROKEN = BundleChoice("broken", Path("broken"), "cannot be used: its hash is another", None)


@pytest.fixture
def open_dialog(qapp):
    from apps.monitor.show import application, dispose
    from apps.monitor.widgets.start import StartDialog

    application()
    opened = []

    def show(*streams, bundles=(BROKEN, BUNDLE)):
        found = [Catalogue(streams, bundles)]
        dialog = StartDialog(lambda: found[-1], DARK)
        dialog.found = found
        opened.append(dialog)
        dialog.show()
        qapp.processEvents()
        return dialog

    yield show
    for dialog in opened:
        dispose(dialog)


def ok(dialog):
    return dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)


def test_a_session_that_runs_is_looked_at(open_dialog):
    dialog = open_dialog(SESSION, HEADSET)
    assert dialog.chosen() == Start("", "headset-pred", None)
    assert dialog.bundles.count() == 0
    assert "only looks on" in dialog.note.text()


def test_a_signal_is_decoded_by_a_model_that_fits(open_dialog):
    dialog = open_dialog(SESSION, HEADSET)
    QTest.keyClick(dialog.streams, Qt.Key.Key_Down)
    assert [dialog.bundles.item(i).text() for i in range(2)] == [
        "broken\ncannot be used: its hash is another",
        "seizure-demo\nbackground, seizure",
    ]
    assert dialog.chosen() == Start("headset", "", Path("seizure-demo"))
    assert dialog.note.text() == "bci run decodes headset with seizure-demo."
    QTest.keyClick(dialog.streams, Qt.Key.Key_Return)
    assert dialog.result() == 1


def test_a_signal_that_no_model_fits_says_why_and_cannot_be_started(open_dialog):
    dialog = open_dialog(OTHER)
    assert dialog.chosen() is None
    assert not ok(dialog).isEnabled()
    assert dialog.note.text() == "No model fits this stream."
    assert "Fp1" in dialog.bundles.item(1).text()
    assert dialog.streams.item(0).text().startswith("<b>two</b>")


def test_markers_cannot_be_chosen_and_no_stream_says_what_to_do(open_dialog):
    dialog = open_dialog(MARKERS)
    assert dialog.chosen() is None
    assert not ok(dialog).isEnabled()
    assert "Start an amplifier app" in dialog.note.text()
    dialog.found.append(Catalogue((HEADSET,), (BUNDLE,)))
    again = next(button for button in dialog.buttons.buttons() if button.text() == "Look again")
    QTest.mouseClick(again, Qt.MouseButton.LeftButton)
    assert dialog.chosen() == Start("headset", "", Path("seizure-demo"))


@pytest.mark.parametrize(
    ("key", "start"), [(Qt.Key.Key_Return, Start("", "headset-pred", None)), (Qt.Key.Key_Escape, None)]
)
def test_the_dialog_is_asked_and_goes(qapp, monkeypatch, key, start):
    from apps.monitor import show

    monkeypatch.setattr(show, "look", lambda folders: Catalogue((SESSION,), ()))

    def answer():
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            QTimer.singleShot(20, answer)
        else:
            QTest.keyClick(dialog, key)

    QTimer.singleShot(20, answer)
    assert show.choose_start(MonitorOptions()) == start


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_texts_stand_out_from_what_is_behind_them(theme):
    """Contrast as the guidelines for accessible content ask of text (4.5), and of what must be seen (3)."""
    for behind in (theme.window, theme.panel, theme.field):
        assert contrast(theme.text, behind) >= 7
        assert contrast(theme.faint, behind) >= 4.5
    for paint in theme.states.values():
        assert contrast(paint.ink, paint.fill) >= 4.5
    for colour in (
        *theme.classes,
        theme.trace,
        theme.doubtful_trace,
        theme.mark,
        theme.accent,
        theme.good,
        theme.alarm_span,
    ):
        assert contrast(colour, theme.panel) >= 3
    assert contrast(theme.trace, theme.panel) > 2 * contrast(theme.bad_trace, theme.panel) / 1.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
