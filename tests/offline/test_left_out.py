"""What a run leaves out stands in its results, with file, row and reason."""

from __future__ import annotations

import json

import numpy as np

from apps.train import main
from tests.offline.datasets.image_layout import UPPER, made_fold, write_folds


def test_what_was_left_out_stands_in_the_results_with_its_row(tmp_path):
    folds = {k: made_fold(k, (16, 24, 3), np.float32) for k in range(1, 5)}
    folds[2][1][3] = 7
    images, out = write_folds(tmp_path / "images", UPPER, "MEL", folds), tmp_path / "out"
    words = ["--task", "seizure-images-mel", "--data", str(images), "--model", "mel_cnn", "--out", str(out)]
    words += ["--epochs", "1", "--batch-size", "4"]
    assert main(["run", *words]) == 1
    assert not out.exists()
    assert main(["run", *words, "--skip-bad"]) == 0
    (left_out,) = json.loads((out / "metrics.json").read_text())["data"]["left_out"]
    file = "MEL_LABELS_FOLD_fold_2.npy"
    assert left_out.startswith(f"images/{file}, row 3: a label must be 0, 1 or 2, got")
