"""`bci-train list`: tasks and the models that can be trained for them."""

from __future__ import annotations

import argparse

HELP = "list tasks and models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`bci-train list` has no options."""


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    from offline.augment.registry import AUGMENTATIONS
    from offline.datasets.registry import EXAMPLES, TASKS
    from offline.recipes import RECIPES

    for task, row in (TASKS | EXAMPLES).items():
        print(f"{task}: {row.line}")
        for model, plan in RECIPES.get(task, {}).items():
            print(f"  {model:<24}{plan.line}")
    print(f"augmentations: {', '.join(AUGMENTATIONS)}")
    return 0
