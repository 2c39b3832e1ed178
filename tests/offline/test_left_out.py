"""What a run leaves out stands in its results, with file, row and reason."""

from __future__ import annotations

import json

import numpy as np

from apps.train import main
from tests.offline.datasets.image_layout import UPPER, made_fold, write_folds


def test_what_was_left_out_stands_in_the_results_with_its_row(tmp_path):
    folds = {k: made_fold(k, (16, 24, 3), np.float32) for k in range(1, 5)}
    folds[2][1][3] = 7
    folds[3][2][0] = "p10"  # of fold 1
    folds[4][0][5] = folds[1][0][0]  # of p10, and of another
    for _, labels, _ in folds.values():
        labels[labels == 2] = 0
    images, out = write_folds(tmp_path / "images", UPPER, "MEL", folds), tmp_path / "out"
    words = ["--task", "seizure-images-mel", "--data", str(images), "--model", "mel_cnn", "--out", str(out)]
    words += ["--epochs", "1", "--batch-size", "4"]
    assert main(["run", *words]) == 1
    assert not out.exists()
    assert main(["run", *words, "--skip-bad"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    wanted = (
        "images/MEL_LABELS_FOLD_fold_2.npy, row 3: a label must be 0, 1 or 2, got",
        "images/MEL_DATA_FOLD_fold_4.npy, row 5: samples must be of one subject, these of p42 are the same as in ",
        "images/MEL_DATA_FOLD_fold_3.npy, row 0: a subject must be in one part of the archive, p10 is in fold-1 and in",
    )
    assert len(metrics["data"]["left_out"]) == len(wanted)
    for found, begin in zip(metrics["data"]["left_out"], wanted, strict=True):
        assert found.startswith(begin)
    assert metrics["data"]["sessions"] == 24 - 3
    assert (
        metrics["unchecked"][-1] == "what the model makes of seizure type 2: no stretch that is scored is labelled so"
    )
