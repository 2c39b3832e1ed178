"""Causal preprocessing, defined once for training, evaluation, replay and live use."""
