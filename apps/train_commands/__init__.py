"""The verbs of `bci-train`, one module each."""
