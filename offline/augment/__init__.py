"""Augmentations: random changes of a batch of windows, on its device, drawn from a passed generator."""
