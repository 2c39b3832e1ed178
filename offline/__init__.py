"""Training, evaluation and export of every model from archived recordings."""
