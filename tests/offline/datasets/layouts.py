"""Small recordings and archives, written by the tests in the layouts of the real ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from edfio import Edf, EdfAnnotation, EdfSignal, Recording

from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19
from offline.datasets.hms import NAMES as HMS_NAMES

NEW_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
REMEDY = re.compile(
    r"\. (Add|Correct|Cut|Delete|Fetch|Leave|Make|Put|Take|Use|Write)\b[^.]*(\.\w[^.]*)*\.( Check --data\.)?$"
)
"""How a text ends that says what to do."""
BANANA_10_10 = tuple("-".join(NEW_NAMES.get(e, e) for e in pair).upper() for pair in DOUBLE_BANANA)


def eeg(n_channels: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Return noise of 30 µV."""
    return np.random.default_rng(seed).standard_normal((n_channels, n_samples)) * 30


def write_edf(
    path: Path,
    names: Sequence[str] = TEN_TWENTY_19,
    sfreq: float = 256.0,
    duration_s: float = 10.0,
    *,
    seed: int = 0,
    data: np.ndarray | None = None,
    start: tuple[date, time] = (date(2020, 1, 1), time(12, 0)),
    notes: Sequence[tuple[float, float, str]] = (),
) -> Path:
    """Write a recording in µV and return its path; notes are onset, duration and text."""
    values = eeg(len(names), round(sfreq * duration_s), seed) if data is None else data
    signals = [
        EdfSignal(row, sfreq, label=name, physical_dimension="uV", physical_range=(-500, 500))
        for name, row in zip(names, values, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    when = {"recording": Recording(startdate=start[0]), "starttime": start[1]}
    Edf(signals, annotations=[EdfAnnotation(*n) for n in notes] or None, data_record_duration=1, **when).write(path)
    return path


def cut_off(path: Path, n_bytes: int) -> None:
    """Leave out the last bytes of a file."""
    path.write_bytes(path.read_bytes()[:-n_bytes])


def write_chbmit(
    folder: Path, case: str, seizures: dict[int, list[tuple[int, int]]], seed: int = 0, duration_s: float = 20.0
) -> Path:
    """Write recordings with a summary; seizures by number of the recording."""
    lines = ["Data Sampling Rate: 256 Hz", "*************************", ""]
    lines += [f"Channel {i}: {name}" for i, name in enumerate(BANANA_10_10, start=1)]
    for n, spans in seizures.items():
        name = f"{case}_{n:02d}.edf"
        write_edf(folder / case / name, (*BANANA_10_10, "T8-P8"), duration_s=duration_s, seed=seed + n)
        lines += ["", f"File Name: {name}", "File Start Time: 17:20:05", "File End Time: 18:20:15"]
        lines += [f"Number of Seizures in File: {len(spans)}"]
        for i, (start, stop) in enumerate(spans, start=1):
            which = f"Seizure {i}" if n % 2 else "Seizure"  # both spellings occur
            lines += [f"{which} Start Time: {start} seconds", f"{which} End Time: {stop} seconds"]
    (folder / case / f"{case}-summary.txt").write_text("\n".join(lines) + "\n")
    return folder


def seizure_marks(spans: Sequence[tuple[int, int]], sfreq: int = 256) -> bytes:
    """Return a file ``.edf.seizures`` as the MIT's library writes it."""

    def word(code: int, value: int = 0) -> bytes:
        return (code << 10 | value).to_bytes(2, "little")

    def skip(n: int) -> bytes:
        whole = n.to_bytes(4, "little", signed=True)
        return word(59) + whole[2:] + whole[:2]

    note = f"## time resolution: {sfreq}".encode()
    out = word(22) + word(63, len(note)) + note + b"\0" * (len(note) % 2) + skip(-1) + word(0, 1)
    at = 0
    for start, stop in spans:
        out += skip(start * sfreq - at) + word(32) + skip((stop - start) * sfreq) + word(33)
        at = stop * sfreq
    return out + b"\0\0"


SIENA_LIST = """PN06

Data Sampling Rate: 512 Hz

Channels in EDF files:
Channel 1: Fp1
Channel 33: EKG 1

Seizure n 1 (in sleep)
File name: PN06-1.edf
Registration start time: 23.59.50
Registration end time:  00.00.10
Seizure start time: 23.59.55
Seizure end time:00.00.02

Seizure n 2
File name: PNO6-2.edf
Registration start time:1 6.49.25
Registration end time: 16.49.45
Start time: 16:49.30
End time: 16:49:34

Seizure n 3
File name: PNO6-2.edf
Seizure start time: 16.49.40
Seizure end time: 16.49.44
"""


def write_siena(folder: Path) -> Path:
    """Write one person with two recordings of 20 s, the second with two seizures and a mistyped name."""
    person = folder / "PN06"
    names = tuple(f"EEG {name}" for name in TEN_TWENTY_19)
    for name in ("PN06-1.edf", "PN06-2.edf"):
        write_edf(person / name, (*names, "EEG Fc1", "EKG EKG 1"), 512.0, 20, seed=len(name))
    (person / "Seizures-list-PN06.txt").write_text(SIENA_LIST)
    return folder


CSV_BI = """# version = csv_v1.0.0
# bname = {name}
# duration = {duration:.4f} secs
# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt
#
channel,start_time,stop_time,label,confidence
"""


def write_tusz(
    folder: Path, part: str, subject: str, rows: str, *, sfreq: float = 250.0, reference: str = "REF"
) -> Path:
    """Write a recording of 20 s with its table, and return its path."""
    name = f"{subject}_s001_t000"
    path = folder / "edf" / part / subject / "s001_2002" / "02_tcp_le" / f"{name}.edf"
    names = tuple(f"EEG {electrode.upper()}-{reference}" for electrode in TEN_TWENTY_19)
    write_edf(path, (*names, f"EEG A1-{reference}", "EMG-REF"), sfreq, 20, seed=sum(map(ord, subject)))
    path.with_suffix(".csv_bi").write_text(CSV_BI.format(name=name, duration=20.0) + rows)
    return path


def write_bids(folder: Path, subject: str, rows: str, *, duration_s: float = 20.0, names: Sequence[str] = ()) -> Path:
    """Write a recording with its events, and return the recording's path."""
    stem = folder / subject / "ses-01" / "eeg" / f"{subject}_ses-01_task-szMonitoring_run-00"
    path = stem.with_name(stem.name + "_eeg.edf")
    default = tuple(f"{name}-Avg" for name in TEN_TWENTY_19)
    write_edf(path, names or default, 256.0, duration_s, seed=sum(map(ord, subject)))
    head = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
    stem.with_name(stem.name + "_events.tsv").write_text(head + rows)
    return path


HMS_HEAD = (
    "eeg_id,eeg_sub_id,eeg_label_offset_seconds,spectrogram_id,spectrogram_sub_id,spectrogram_label_offset_seconds,"
    "label_id,patient_id,expert_consensus,seizure_vote,lpd_vote,gpd_vote,lrda_vote,grda_vote,other_vote\n"
)


def hms_row(eeg: int, offset_s: float, patient: int, votes: Sequence[float], consensus: str = "") -> str:
    """Return a row of ``train.csv``."""
    return f"{eeg},0,{offset_s},1,0,{offset_s},7,{patient},{consensus},{','.join(map(str, votes))}\n"


def write_hms(folder: Path, n_patients: int) -> Path:
    """Write an archive of one EEG of 50 s a patient, each with most votes for another pattern."""
    rows = []
    for i in range(n_patients):
        write_hms_eeg(folder / "train_eegs" / f"{i}.parquet", 50, seed=i)
        rows.append(hms_row(i, 0.0, i, [3.0 * (k == i % 6) + 1 for k in range(6)]))
    (folder / "train.csv").write_text(HMS_HEAD + "".join(rows))
    return folder


def write_hms_eeg(
    path: Path, duration_s: float = 60.0, seed: int = 0, names: Sequence[str] = (*HMS_NAMES, "EKG")
) -> Path:
    """Write an EEG with 1 s of nulls in the first channel."""
    rng = np.random.default_rng(seed)
    columns = {name: (rng.standard_normal(round(duration_s * 200)) * 40).astype(np.float32) for name in names}
    columns[names[0]][:200] = np.nan
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({n: pa.array(c, from_pandas=True) for n, c in columns.items()}), path)
    return path
