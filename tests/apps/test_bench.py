"""Benchmarks run with tiny settings and give complete results; nothing here asserts a time."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apps.bench import engines, gpu, networks, stages, training, translator, workload
from apps.bench.mne_lsl_filter import mne_lsl_filter
from apps.bench.report import shown
from apps.bench.timing import Calls, in_turn
from apps.cli import main
from apps.commands.bench import BENCHES
from bci.chunk import Signal
from bci.engines.catalog import EAGER
from bci.errors import UsageError
from bci.stages.registry import STAGES
from models import registry
from offline.training_settings import LoopSettings

TINY = {
    "stages": ["--seconds", "0.001", "--channels=3", "--rates=256", "--chunks=10", "--kinds=bandpass,log_mel"],
    "engines": ["--seconds", "0.001", "--batches", "1,3", "--precision", "fp32"],
    "history": ["--seconds", "0.001", "--channels", "2", "--histories", "10,20"],
    "context": ["--seconds", "0.001", "--contexts", "10,20", "--engine", "eager"],
    "streams": ["--duration", "1", "--most", "1", "--engine", "eager", "--budget-ms", "10000"],
    "replay": ["--length", "20", "--engine", "eager", "--hops", "1", "--models", "mel_cnn"],
    "training": ["--seconds", "0.001", "--batch-size", "2"],
    "translator": ["--seconds", "0.001"],
    "idle": ["--idle-s", "0.01", "--repeats", "2", "--engine", "eager"],
}
MAY_LACK = {
    "build",
    "load",
    "parity",
    "replay",
    "allocated",
    "MFLOP",
    "rate",
    "p50",
    "p99",
    "p99.9",
    "max",
    "late",
    "core",
}


def result_of(name, tmp_path, *options):
    target = tmp_path / f"{name}.json"
    assert main(["bench", name, *TINY[name], "--json", str(target), *options]) == 0
    return json.loads(target.read_text())


def test_bench_alone_lists_the_benches(capsys):
    assert main(["bench"]) == 0
    out = capsys.readouterr().out
    assert all(f"bci bench {name}" in out for name in BENCHES)


@pytest.mark.parametrize("name", TINY)
def test_a_bench_gives_a_table_json_and_a_figure(capsys, tmp_path, monkeypatch, name):
    for module in (engines, translator):
        monkeypatch.setattr(module, "CATALOG", (EAGER,))  # an export takes seconds
    monkeypatch.setattr(translator, "_onnx_step", lambda net, hop, n_threads: None)
    monkeypatch.setattr(sys, "argv", ["bci", "bench", name])
    result = result_of(name, tmp_path, "--plot", str(tmp_path / "figure.png"))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert result["bench"] == name
    assert result["command"] == f"bci bench {name}"
    assert result["machine"]["packages"]["torch"]
    assert result["rows"]
    for row in result["rows"]:
        assert row["label"] in out
        measured = [value for value in row.values() if isinstance(value, float)]
        assert all(math.isfinite(value) and value >= 0 for value in measured)


def test_every_stage_of_the_registry_is_measured():
    signal = Signal(256.0, stages.NAMES[:19])
    assert set(stages.specs(signal)) == set(STAGES)
    for spec in stages.specs(signal).values():
        spec.build(signal)


def test_stages_are_told_for_every_channels_rate_and_chunk(tmp_path, capsys):
    """Each in a row of its own, and all of a stage in one line."""
    options = ["--kinds", "scale", "--channels", "2,3", "--rates", "256,1000", "--chunks", "1,8"]
    rows = result_of("stages", tmp_path, *options)["rows"]
    cases = [(n, rate, chunk) for n in (2, 3) for rate in (256, 1000) for chunk in (1, 8)]
    assert [(row["channels"], row["rate_Hz"], row["chunk"]) for row in rows[::3]] == cases
    assert [row["label"] for row in rows[-3:]] == [
        f"{name}, 3 ch, 1000 Hz, 8" for name in ("scale", stages.PIPELINE, stages.PEER)
    ]
    out = capsys.readouterr().out
    for title, key in (("Median of a push, µs,", "p50_us"), ("Share of a core, %,", "core_percent")):
        lines = out[out.index(f"{title} by channels×Hz×samples") :].splitlines()
        line = next(line for line in lines if line.startswith("scale "))
        assert line.split()[1:] == [shown(row[key]) for row in rows[::3]]


def test_the_share_of_a_core_counts_the_rare_pushes_that_cost_more():
    """With chunks of 1, only one push in 16 completes a frame: the median would not know."""
    calls = Calls(100, 0.01, 1.0, 1.0, 1.0, cpu=0.01, cpu_mean=0.07)
    values = stages._values(calls, Signal(1000.0, ("C3", "C4")), 1)
    assert (values["cpu"], values["core"], values["sample"]) == pytest.approx((10.0, 7.0, 35_000.0))


def test_the_model_of_mne_lsl_filters_as_it_does():
    """Steps of sosfilt with kept states: the same as one call over all, rounded to float32 after each chunk."""
    from scipy.signal import butter, sosfilt

    x = workload.recording(400, seed=3, n_channels=2)
    sos = butter(2, (1.0, 40.0), "bandpass", fs=256.0, output="sos")
    process = mne_lsl_filter(Signal(256.0, ("a", "b")), [sos])
    for start in range(0, 400, 8):
        buffer = process(x[:, start : start + 8])
    np.testing.assert_allclose(buffer[-400:].T, sosfilt(sos, x, axis=-1), rtol=1e-4, atol=1e-3)


def test_replay_gives_equal_counts_on_both_paths(tmp_path):
    rows = result_of("replay", tmp_path)["rows"]
    assert [row["label"].split(", ")[2] for row in rows] == ["whole recording", "streaming"]
    assert [row["predictions"] for row in rows] == [1 + (20 * 256 - workload.WINDOW_SAMPLES) // 256] * 2


def test_engines_are_skipped_by_name_where_there_is_no_gpu(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("bci.engines.host.cuda_devices", lambda: 0)
    result = result_of("engines", tmp_path, "--device", "cuda", "--precision", "fp16")
    assert result["rows"] == []
    for engine in ("tensorrt", "cuda-graph"):
        assert any(line.startswith(f"Skipped: mel_cnn_reference, {engine} fp16: ") for line in result["notes"])
    assert result["notes"][-1].startswith("Nothing was measured on a GPU: this machine needs a CUDA GPU")


def test_a_training_without_a_loader_takes_the_same_steps(tmp_path):
    """But for the windows: it goes on with those of its first batch."""
    settings = LoopSettings(9, 9, 2, 1e-3, 0.0, 0)
    windows = training._windows(tmp_path, 4, 1, 64)
    learner = training._FedLearner(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6)), windows, settings, None
    )
    wanted = learner._taught(np.array([0, 1]), windows.first[:2])
    first = learner._batch(np.array([0, 1]), windows.first[:2], wanted)
    assert learner._batch(np.array([2, 3]), windows.first[2:], wanted) is first
    np.testing.assert_array_equal(first.windows.numpy(), windows.cut(np.array([0, 1]), windows.first[:2]))
    assert np.isfinite(learner.epoch(0))
    assert training._double_mel_mixnet().input_shape == (16, 10_000)


def test_trainings_are_not_measured_where_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr("bci.engines.host.cuda_devices", lambda: 0)
    result = result_of("training", tmp_path, "--device", "cuda")
    assert result["rows"] == []
    assert result["notes"][-1].startswith("Nothing was measured on a GPU: this machine needs a CUDA GPU")


def test_networks_that_need_more_than_a_shape_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "CATALOG", (EAGER,))
    monkeypatch.setattr(registry, "names", lambda: ("eegnet", "odd"))
    usual = registry.parameters("eegnet")
    odd = {**usual, "grid": usual["n_channels"]}
    monkeypatch.setattr(registry, "parameters", lambda name: odd if name == "odd" else usual)
    result = result_of("engines", tmp_path, "--models", "all", "--batches", "1")
    assert {row["label"].split(",")[0] for row in result["rows"]} == {"eegnet"}
    assert "The network odd also needs grid: it is not measured." in result["notes"]


def test_a_network_that_does_not_fit_is_refused():
    with pytest.raises(
        UsageError, match="The network mel_tcn cannot be made for 19 channels and 10 s: The convolutions"
    ):
        networks.network("mel_tcn", n_times=3)
    with pytest.raises(UsageError, match=r"--models takes names of the registry \(.*\), got 'abacus'"):
        networks.network("abacus")


def test_a_graph_is_replayed_beside_its_engine(monkeypatch):
    replayed = []
    engine = SimpleNamespace(replay=replayed.append)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: {"allocated_bytes.all.allocated": 700})
    figures = gpu.figures(engine, 8, before=500, seconds=0.001)
    assert figures["allocated"] == 200
    assert figures["replay"] > 0
    assert set(replayed) == {8}
    assert gpu.figures(len, 8, before=None, seconds=0.001) == {}


def test_the_translator_by_windows_gives_what_it_gives_with_state():
    net = translator.Translator().eval()
    x = torch.randn(1, translator.N_IN, net.n_behind + translator.HOP + 14)  # a whole number of hops
    with torch.inference_mode():
        state = net.initial()
        outputs = []
        for start in range(0, x.shape[-1], translator.HOP):
            y, *state = net(x[..., start : start + translator.HOP], *state)
            outputs.append(y)
        last = translator.Windowed(net)(x[..., 14:])
    assert last.shape == (1, translator.N_OUT * translator.HOP)
    torch.testing.assert_close(last.reshape(translator.N_OUT, -1), outputs[-1][0], rtol=1e-4, atol=1e-5)
    assert x.shape[-1] % translator.HOP == 0


def test_calls_are_measured_in_turn():
    order = []
    found = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0.0)
    assert "".join(order).count("ab") >= 3
    assert found["a"].p50 <= found["a"].p99 <= found["a"].max


def test_median_and_mean_of_the_processor_time_are_told(monkeypatch):
    """A call in five takes 11 ms, the others 1 ms."""
    monkeypatch.setattr(
        "apps.bench.timing._spent", lambda call, n: [(0.02, 0.011 if i % 5 == 0 else 0.001) for i in range(5)]
    )
    found = in_turn({"a": int}, 0.0)["a"]
    assert (found.cpu, found.cpu_mean, found.p50) == pytest.approx((1.0, 3.0, 20.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["history", "--json", "missing/x.json"], "--json needs a file in an existing folder, got missing/x.json"),
        (["history", "--plot", "x.pdf"], "--plot needs a name that ends in .png, got x.pdf"),
        (["history", "--channels", "0"], "argument --channels: a finite number above 0 is needed, got '0'"),
        (["replay", "--length", "3"], "--length must be at least 20 s, got 3"),
        (["stages", "--kinds", "abacus"], "--kinds takes stages ("),
        (["stages", "--channels", "1"], "--channels must be from 2 to"),
        (["engines", "--threads", "0"], "--threads must be at least 1, got 0"),
        (["engines", "--models", "abacus"], "--models takes names of the registry"),
        (["training", "--models", "abacus"], "--models takes mel_mixnet, double_mel_mixnet, got abacus"),
        (
            ["training", "--batch-size", "1"],
            "--batch-size must be at least 2 and --threads at least 1, got 1 and 1",
        ),
        (["idle", "--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["peers", "--works", "juggle"], "--works takes predict, callback, filter, got juggle"),
        (
            ["peers", "--bursts", "0"],
            "must be at least 1 and --duration 1 s for each round, got 2, 0 and 20",
        ),
    ],
)
def test_wrong_usage_is_one_line_before_any_work(capsys, options, message):
    assert main(["bench", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_figure_needs_matplotlib(capsys, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "matplotlib" else found(name, *a))
    assert main(["bench", "history", "--plot", str(tmp_path / "x.png")]) == 2
    assert "--plot needs matplotlib, which is not installed: pip install matplotlib." in capsys.readouterr().err


def test_the_workload_is_the_declared_one():
    pipeline = workload.PIPELINE.build()
    assert (pipeline.window_frames, pipeline.hop_frames) == (workload.N_FRAMES, 4)
    assert pipeline.signal_out.shape == (networks.N_CHANNELS, networks.N_MELS)
    assert (workload.N_FRAMES, pipeline.signal_out.sfreq) == (networks.N_FRAMES, networks.FRAME_HZ)
    assert sum(p.numel() for p in workload.network().parameters()) >= 75_000
    one, two = (workload.network().state_dict() for _ in range(2))
    assert all((one[key] == two[key]).all() for key in one)


def test_the_engines_bench_needs_no_library_that_a_gpu_machine_may_lack():
    """From the source tree with torch and numpy: no LSL, MNE, Qt, ONNX, rich, safetensors or scipy."""
    absent = (
        "scipy",
        "pylsl",
        "mne",
        "mne_lsl",
        "PySide6",
        "onnxruntime",
        "onnxscript",
        "rich",
        "safetensors",
        "matplotlib",
    )
    script = f"""
import sys
for name in {absent!r}:
    sys.modules[name] = None
from apps.cli import main
sys.exit(main(["bench", "engines", "--device", "cuda"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Host array in → host array out" in done.stdout
