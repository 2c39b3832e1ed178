"""The list of keys, on F1."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from apps.monitor.keys import KEYS
from apps.monitor.widgets.labels import plain_label

MORE = (("Tab", "Next control"), ("Enter", "Go to the time of the chosen event"), ("Esc", "Close this list"))


class KeysDialog(QDialog):
    """Every key with what it does."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        rows = [(" or ".join(key.keys), key.text) for key in KEYS] + list(MORE)
        half = (len(rows) + 1) // 2
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setHorizontalSpacing(16)
        for i, (keys, text) in enumerate(rows):
            grid.addWidget(plain_label(keys), i % half, 2 * (i // half))
            grid.addWidget(plain_label(text, faint=True), i % half, 2 * (i // half) + 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(inside)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(area, 1)
        layout.addWidget(buttons)
        self.resize(920, 560)
