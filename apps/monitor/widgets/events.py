"""The list of events, with a jump to the time of each."""

from __future__ import annotations

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QTableView, QVBoxLayout, QWidget

from apps.monitor.snapshot import EventPanel, EventRow
from apps.monitor.widgets.labels import as_panel, named_box, plain_label, set_text, wall_text

HEADS = ("time", "kind", "what")
ALL = "all kinds"
Index = QModelIndex | QPersistentModelIndex


class EventTable(QAbstractTableModel):
    """Rows of a snapshot, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[EventRow] = []
        self.wall_offset_s = 0.0

    def set_rows(self, rows: list[EventRow], wall_offset_s: float) -> None:
        """Show other rows, oldest first."""
        self.beginResetModel()
        self.rows, self.wall_offset_s = rows[::-1], wall_offset_s
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """Return the number of events."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Return the number of columns."""
        return len(HEADS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        """Return a text; only rows on the screen are asked for."""
        if role != Qt.ItemDataRole.DisplayRole or not index.isValid():
            return None
        row = self.rows[index.row()]
        if index.column() == 0:
            return wall_text(row.time + self.wall_offset_s)
        return row.kind if index.column() == 1 else row.text

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Return the head of a column."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return HEADS[section]


class EventView(QWidget):
    """Table of the last events; `chosen` has the time of the one to jump to, in seconds of the LSL clock."""

    chosen = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        as_panel(self)
        self.table = EventTable()
        self._panel = EventPanel(version=-1)
        self._wall_offset_s = 0.0
        self.kinds = named_box("Kind of events")
        self.kinds.addItem(ALL)
        self.kinds.currentIndexChanged.connect(lambda: self._fill())
        self.count = plain_label(faint=True)
        self.list = QTableView()
        self.list.setModel(self.table)
        self.list.setAccessibleName("Events, newest first; Enter goes to the time of one")
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setShowGrid(False)
        self.list.setWordWrap(False)
        self.list.setTabKeyNavigation(False)
        self.list.verticalHeader().hide()
        self.list.verticalHeader().setDefaultSectionSize(26)
        self.list.horizontalHeader().setStretchLastSection(True)
        self.list.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.list.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.list.setColumnWidth(0, 96)
        self.list.setColumnWidth(1, 130)
        self.list.activated.connect(lambda index: self.chosen.emit(self.table.rows[index.row()].time))
        head = QHBoxLayout()
        head.setContentsMargins(8, 6, 8, 2)
        head.addWidget(self.kinds)
        head.addWidget(self.count, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(head)
        layout.addWidget(self.list, 1)

    def sizeHint(self) -> QSize:
        """Return the size that the list likes."""
        return QSize(420, 260)

    def show_events(self, panel: EventPanel, wall_offset_s: float) -> None:
        """Show other events, if they have changed."""
        if panel.version == self._panel.version:
            return
        new = [kind for kind in panel.counts if self.kinds.findText(kind) < 0]
        if new:
            self.kinds.blockSignals(True)
            self.kinds.addItems(new)
            self.kinds.blockSignals(False)
        self._panel, self._wall_offset_s = panel, wall_offset_s
        self._fill()

    def _fill(self) -> None:
        """Show the rows of the chosen kind; the selected one stays so."""
        panel, kind = self._panel, self.kinds.currentText()
        chosen = self.list.currentIndex()
        kept = self.table.rows[chosen.row()].number if chosen.isValid() else None
        rows = [row for row in panel.rows if kind in (ALL, row.kind)]
        self.table.set_rows(rows, self._wall_offset_s)
        if kept is not None:
            at = next((i for i, row in enumerate(self.table.rows) if row.number == kept), None)
            if at is not None:
                self.list.setCurrentIndex(self.table.index(at, 0))
        total = sum(panel.counts.values())
        more = f", {panel.left_out} left out" if panel.left_out else ""
        set_text(self.count, f"{len(rows)} of {total} events{more}")
