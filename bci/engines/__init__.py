"""Inference engines; each backend is a leaf module, imported where it is used."""
