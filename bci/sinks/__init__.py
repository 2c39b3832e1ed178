"""Where predictions and events go; each sink is a leaf module, imported where it is used."""
