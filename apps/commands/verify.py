"""`bci verify`: check a bundle's files and replay its golden run."""

from __future__ import annotations

import argparse

from apps.engine_options import add_engine_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci verify`."""
    parser.add_argument("bundle", help="directory of a bundle, or the name of a shipped one")
    add_engine_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print errors against limits; fail if one is exceeded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bci.algorithmic import algorithmic_latency
    from bci.golden import require
    from bci.serving import examine

    served = examine(args.bundle, args.engine, args.precision, args.remeasure)
    report, built = served.golden_report, served.engine_report
    table = Table("check", "found", "limit", title=Text(f"{served.bundle.name} on {built.name} ({built.precision})"))
    table.add_row("files and schema", f"sha256 {served.bundle.sha256[:12]}…", "as in the manifest")
    table.add_row("features, relative", f"{report.feature_error:.1e}", f"{report.feature_limit:.0e}")
    table.add_row("logits, relative", f"{report.logit_error:.1e}", f"{report.logit_limit:.0e}")
    table.add_row("probabilities", f"{report.probability_error:.1e}", "")
    table.add_row("same classes", "yes" if report.same_class else "no", "yes")
    table.add_row("engine against eager", f"{built.parity_error:.1e}", f"{report.logit_limit:.0e}")
    Console().print(table)
    print(built)
    smoothing_s = served.bundle.decision.smoothing_s
    print(f"Algorithmic latency: {algorithmic_latency(served.bundle.pipeline.build(), smoothing_s)}.")
    require(report, served.bundle.name)
    print(f"{report.n_predictions} golden predictions reproduced.")
    return 0
