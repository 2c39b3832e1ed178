"""The streaming runtime: sources, causal stages, engines, decisions and sinks."""
