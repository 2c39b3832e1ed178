"""Faults in real processes over real LSL: nothing is lost in silence, no alarm comes or goes by a fault."""
