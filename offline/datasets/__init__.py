"""Archived datasets, one file each."""
