"""`bci explain`: what in the windows of recordings speaks for each class, as pictures and arrays."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci explain`."""
    parser.add_argument("model", metavar="BUNDLE", help="directory or name of a shipped bundle")
    parser.add_argument(
        "file", type=Path, nargs="+", help="recordings whose windows are explained; each weighs the same"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for PNG, NPZ and JSON")
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="integrated-gradients (default), saliency, grad-cam or roll-out; may be given again",
    )
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        metavar="NAME",
        help="explain the evidence for this class on all windows; may be given again "
        "(default: each window for the class that is predicted)",
    )
    parser.add_argument("--windows", type=int, default=64, metavar="N", help="spread over each recording (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the randomised network of the sanity check (default 0)")
    parser.add_argument("--picks", help="eeg, meg, all, or channel names joined by commas (default: EEG, else MEG)")
    parser.add_argument("--unit", help="unit of channels for which the file states none, for example uV")
    parser.add_argument("--adapt", action="store_true", help="bring the files to the bundle's channels and rate")


def run(args: argparse.Namespace) -> int:
    """Explain the windows, write pictures, arrays and the sanity check."""
    from apps.adapt import adapted
    from bci.bundle import find_bundle, load_bundle
    from bci.errors import UsageError
    from bci.sources.recording import open_recording
    from bci.texts import visible
    from offline.explanations import check_classes, check_methods, explain_windows, recording_windows

    methods = tuple(dict.fromkeys(args.method or ["integrated-gradients"]))
    check_methods(methods)
    if args.windows < 1:
        raise UsageError(f"--windows must be at least 1, got {args.windows}.")
    if args.out.exists():
        raise UsageError(f"--out needs a new folder, got {args.out}, which exists. Choose another name.")
    bundle = load_bundle(find_bundle(args.model))
    classes, paths = tuple(dict.fromkeys(args.classes or ())), tuple(dict.fromkeys(args.file))
    check_classes(bundle, classes)
    files = []
    for path in paths:
        source = open_recording(path, unit=args.unit, picks=args.picks)
        try:
            recording = adapted(source, args.model if args.adapt else None)
            files.append(recording_windows(bundle, recording, args.windows))
        finally:
            source.close()
    title = f"{bundle.name} on {paths[0].name if len(paths) == 1 else f'{len(paths)} files'}"
    found = explain_windows(bundle, title, files, methods, args.seed, classes)
    found.write(args.out)
    for line in found.lines():
        print(visible(line))
    print(f"Written to {args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}.")
    return 0
