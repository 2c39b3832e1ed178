"""Command lines and the monitor."""
