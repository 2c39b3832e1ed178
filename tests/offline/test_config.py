"""Settings: one strict reader for files and flags."""

from __future__ import annotations

import pytest

from bci.errors import UsageError
from offline.config import read_config

NEEDED = {"task": "ssvep", "data": "d", "model": "cca_net", "out": "o"}


def test_flags_override_the_file(tmp_path):
    file = tmp_path / "train.toml"
    file.write_text('task = "ssvep"\ndata = "d"\nmodel = "eegnet"\nout = "o"\nwindow_s = 1\nseed = 3\n')
    config = read_config(file, {"model": "cca_net", "seed": None})
    assert (config.model, config.window_s, config.seed) == ("cca_net", 1.0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"unknown fields epoch\. Known: task, .*epochs"),
        ('epochs = "3"', "epochs must be .*got '3'"),
        ("seed = true", "seed must be int, got True"),
        ("epochs = 3\nepochs = 4", "needs? a readable TOML file"),
        ("window_s = nan", "window_s must be"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    file = tmp_path / "train.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_config(file, NEEDED)


def test_a_missing_file_and_missing_settings_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"readable TOML file, got .*absent\.toml"):
        read_config(tmp_path / "absent.toml", NEEDED)
    with pytest.raises(UsageError, match=r"lacks model, out\. Pass it as a flag"):
        read_config(None, {"task": "ssvep", "data": "d"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window_s": 0.0}, "--window-s must be above 0, got 0"),
        ({"epochs": -1}, "--epochs must be above 0, got -1"),
        ({"batch_size": 1}, r"--batch-size must be at least 2 \(batch normalisation\), got 1"),
        ({"seed": -1}, "must not be negative, got -1"),
        ({"dropout": 1.0}, "--dropout must be at least 0 and below 1, got 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        read_config(None, NEEDED | setting)
