"""A run in words and on a self-contained HTML page: figures, people, confusion, calibration, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from offline.fold import FoldResult
from offline.limits import left_out_lines
from offline.people import FIGURES
from offline.report_events import event_table
from offline.report_parts import confusion, curves, not_checked, page, reliability_plot, table
from offline.report_tuning import tuning_parts
from offline.start_weights import start_lines

NONE = "–"


def report_html(metrics: Mapping[str, Any], results: Sequence[FoldResult]) -> str:
    """Return the page.

    Parameters
    ----------
    metrics : mapping
        As in ``metrics.json``, or in ``tune.json``.
    results : sequence of FoldResult
        Their histories become the learning curves.

    Returns
    -------
    html : str
        All texts escaped, graphics as inline SVG, no script.
    """
    run = metrics["run"]
    scores = metrics["scores"]
    title = f"{run['task']}: {run['model']}, windows of {run['window_s']:g} s"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(metrics['description'])}</p>",
        f"<p>Scored: {escape(split_text(run['settings']))}; {len(scores['subjects'])} subjects, seed {run['seed']}. "
        "Each stretch counts once, with its first window, or the middle one of those that contain it.</p>",
        *(f"<p>{escape(text)}.</p>" for text in start_lines(run["resolved"])),
        *not_checked(metrics["unchecked"]),
        *_left_out(metrics["data"]),
        _comparison(metrics),
        "<h2>Figures</h2>",
        _figures(metrics),
        *_events(metrics),
        *_tuning(metrics),
        "<h2>Calibration</h2>",
        *_calibration(scores["figures"]),
        "<h2>Subjects</h2>",
        _subjects(scores["subjects"], scores["classes"]),
        "<h2>Confusion</h2>",
        confusion(scores["classes"], scores["confusion"]),
    ]
    if any(fold.history for fold in results):
        parts += [
            "<h2>Learning curves</h2>",
            "<p>One line per fold.</p>",
            curves({fold.split.name: fold.history for fold in results}),
        ]
    return page(title, parts)


def split_text(settings: Mapping[str, Any]) -> str:
    """Return who is scored, in words, from the settings of a run."""
    if settings["split"] == "archive":
        return "the archive's own split of subjects"
    if settings["split"] == "k-fold":
        return f"{settings['n_folds']} folds of subjects"
    return "leave one subject out" if settings["split"] == "leave-one-out" else "each subject's later stretches"


def interval_text(value: Mapping[str, Any], sign: bool = False) -> str:
    """Return a mean with its interval, such as ``.75 [.63, .86]``."""
    return figure_text({"value": value["mean"], "interval": value["interval"]}, sign)


def figure_text(figure: Mapping[str, Any], sign: bool = False) -> str:
    """Return a figure with its interval, each only if there is one."""
    form = "+.3f" if sign else ".3f"
    if figure["value"] is None:
        return NONE
    text = f"{figure['value']:{form}}"
    if figure["interval"] is None:
        return text
    low, high = figure["interval"]
    return f"{text} [{low:{form}}, {high:{form}}]"


def figure_lines(scores: Mapping[str, Any]) -> list[str]:
    """Return the figures of a cross-validation, a line each, for a terminal."""
    figures = scores["figures"]
    people = figures["people"]
    lines = [f"{figures['over']}; AUROC and AUPRC: each class against the rest, mean"]
    for name, words in FIGURES.items():
        text = f"{words}: {figure_text(figures['stretches'][name])} of stretches"
        lines.append(text if people is None else f"{text}, {figure_text(people[name])} of people")
    return lines


def constant_lines(trivial: Mapping[str, Any]) -> list[str]:
    """Return what constants reach on the same folds, a line each."""
    return [
        f"{name} of the others, of stretches: "
        + ", ".join(f"{FIGURES[figure]} {figure_text(value)}" for figure, value in constants.items())
        for name, constants in trivial["figures"].items()
    ]


def chance_line(trivial: Mapping[str, Any]) -> str:
    """Return the accuracy of chance and of the most frequent class, for a terminal."""
    return f"chance {trivial['chance']:.3f}, most frequent class {trivial['majority']:.3f}"


def verdicts(metrics: Mapping[str, Any]) -> list[str]:
    """Return how the model stands to each strong baseline of its task, in words.

    What may limit the model is said only where it is below the first one, with the training that the recipe names.
    """
    notes = ("" if metrics["run"]["overridden"] else metrics["note"], *[""] * len(metrics["strong_baselines"]))
    return [_verdict(metrics, *pair) for pair in zip(metrics["strong_baselines"], notes, strict=False)]


def gain_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the paired gains over each strong baseline in the figures that models are compared by."""
    lines = []
    for strong in metrics["strong_baselines"]:
        gains = strong["difference"]["gains"]
        level = "stretches" if gains["people"] is None else "people"
        said = ", ".join(f"{FIGURES[name]} {figure_text(gain, sign=True)}" for name, gain in gains[level].items())
        lines.append(f"gain over {strong['model']}, paired, of {level}: {said}")
    return lines


def _verdict(metrics: Mapping[str, Any], strong: Mapping[str, Any], note: str) -> str:
    difference = strong["difference"]
    low, high = difference["interval"]
    relation = "is above" if low > 0 else "is below" if high < 0 else "cannot be told from"
    text = (
        f"{metrics['run']['model']} {relation} the strong baseline {strong['model']} "
        f"({interval_text(strong['accuracy'])}): difference {interval_text(difference, sign=True)}."
    )
    return f"{text} Possible reason, not tested: {note}" if high < 0 and note else text


def _comparison(metrics: Mapping[str, Any]) -> str:
    trivial = metrics["trivial"]
    rows = [
        (metrics["run"]["model"], interval_text(metrics["scores"]["accuracy"])),
        *(
            (f"{strong['model']} (strong baseline)", interval_text(strong["accuracy"]))
            for strong in metrics["strong_baselines"]
        ),
        ("chance", f"{trivial['chance']:.3f}"),
        ("most frequent class", f"{trivial['majority']:.3f}"),
    ]
    if trivial["trial_index"] is not None:
        rows.append(("place of the trial in the session (a leak; no model sees it)", f"{trivial['trial_index']:.3f}"))
    scores = table(("", f"accuracy, mean [{metrics['scores']['accuracy']['over']}]"), rows)
    said = (*verdicts(metrics), *gain_lines(metrics))
    return scores + "".join(f'\n<p class="note">{escape(text)}</p>' for text in said)


def _left_out(data: Mapping[str, Any]) -> list[str]:
    lines = left_out_lines(data)
    if not lines:
        return []
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    # open: a figure without these is one of other people
    return [f"<details open><summary>Left out or incomplete: {len(lines)}</summary><ul>{items}</ul></details>"]


def _figures(metrics: Mapping[str, Any]) -> str:
    figures, trivial = metrics["scores"]["figures"], metrics["trivial"]["figures"]
    columns = {"stretches": figures["stretches"]}
    if figures["people"] is not None:
        columns["people (mean of their stretches)"] = figures["people"]
    for strong in metrics["strong_baselines"]:
        columns |= {f"{strong['model']}, {level}": strong["figures"][level] for level in ("stretches", "people")}
    columns |= {f"{name} of the others, stretches": constants for name, constants in trivial.items()}
    shown = {head: column for head, column in columns.items() if column is not None}
    rows = [
        (words, *(figure_text(column[name]) if name in column else NONE for column in shown.values()))
        for name, words in FIGURES.items()
    ]
    by_class = [
        (str(label), str(own["n"]), figure_text(own["auroc"]), figure_text(own["auprc"]))
        for label, own in figures["stretches"]["classes"].items()
    ]
    return (
        f"<p>{escape(figures['over'])}. AUROC and AUPRC: each class against the rest, mean.</p>\n"
        + table(("", *shown), rows)
        + "\n"
        + table(("class", "stretches", "AUROC", "AUPRC"), by_class)
    )


def _events(metrics: Mapping[str, Any]) -> list[str]:
    events = metrics.get("events")
    if events is None:
        return []
    title = f"<h2>Alarm for {escape(events['label'])}</h2>"
    return [title, f"<p>{escape(events['scored'])}.</p>", event_table(events, metrics["run"]["model"])]


def _tuning(metrics: Mapping[str, Any]) -> list[str]:
    choices = metrics.get("tuning")
    return [] if not choices else tuning_parts(choices, metrics["run"]["resolved"]["training"]["monitor"])


def _calibration(figures: Mapping[str, Any]) -> list[str]:
    plots = [
        reliability_plot(f"{figures[level]['n']} {level}", figures[level]["reliability"])
        for level in ("stretches", "people")
        if figures[level] is not None
    ]
    return [*plots, "<p>Confidence in the most probable class, and how often it is right; area: how many.</p>"]


def _subjects(subjects: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> str:
    rows = [
        (
            s["subject"],
            s["label"] or "several",
            f"{s['n_correct']} of {s['n']}",
            f"{s['accuracy']:.3f}",
            "[{:.3f}, {:.3f}]".format(*s["interval"]),
            *(f"{p:.3f}" for p in s["probabilities"]),
        )
        for s in subjects
    ]
    head = ("subject", "class", "correct", "accuracy", "Wilson 95 %", *(f"mean p of {name}" for name in classes))
    return table(head, rows)
