"""``--engine``, ``--precision`` and ``--remeasure``, the same for every command that serves a bundle."""

from __future__ import annotations

import argparse

ENGINE_HELP = "auto (default: the fastest here), or a name that bci engines lists"


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("engine")
    group.add_argument("--engine", default="auto", metavar="NAME", help=ENGINE_HELP)
    group.add_argument("--precision", default="fp32", metavar="P", help="fp32 (default), fp16 or bf16")
    group.add_argument(
        "--remeasure", action="store_true", help="with --engine auto: measure again which engine is the fastest here"
    )
