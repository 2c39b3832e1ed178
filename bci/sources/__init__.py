"""Where samples come from; each source is a leaf module, imported where it is used."""
