"""Hypothesis without deadlines: how long an example takes says something about the machine, not about the law."""

from hypothesis import HealthCheck, settings

settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")
