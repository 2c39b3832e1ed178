"""Keep liblsl's own log off the terminal, unless the user has a configuration of their own."""

from __future__ import annotations

import os
from pathlib import Path

CONFIG_FILES = (Path("lsl_api.cfg"), Path.home() / "lsl_api" / "lsl_api.cfg", Path("/etc/lsl_api/lsl_api.cfg"))
"""Where liblsl looks, besides ``$LSLAPICFG``."""


def quiet_liblsl() -> None:
    """Log what is fatal only: we report every loss ourselves. Must come before any other use of LSL in the process."""
    import pylsl

    if not os.environ.get("LSLAPICFG") and not any(path.is_file() for path in CONFIG_FILES):
        pylsl.set_config_content("[log]\nlevel = -3\n")
