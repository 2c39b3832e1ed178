"""The monitor: what a session decodes and decides, on a screen. Only `view` and `widgets` need Qt."""
