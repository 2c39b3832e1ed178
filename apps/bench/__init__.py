"""Benchmarks behind ``bci bench``."""
