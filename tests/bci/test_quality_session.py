"""What a session says about bad channels."""

import numpy as np
import pytest

from bci.stages.quality import ReportQuality
from tests.bci.scripted import START_S, decoder_of, session_of


def brown(n_samples):
    """Return noise that is strongest at low frequencies, as EEG is: float32 (3, n_samples)."""
    return np.cumsum(np.random.default_rng(0).standard_normal((3, n_samples)), axis=1).astype(np.float32)


@pytest.mark.parametrize("size", [7, 50, 400])
def test_a_bad_channel_is_an_event_and_stands_in_the_status(size):
    """Flat from sample 400 to 800: bad after three hops of a second, good after five, whatever the chunks."""
    data = brown(2000)
    data[1, 400:800] = 5.0
    session, tape, _ = session_of(
        [data[:, i : i + size] for i in range(0, 2000, size)], decoder=decoder_of(stages=[ReportQuality()])
    )
    session.run()
    events = [e for e in tape.of("event") if e.kind == "bad_channel"]
    assert [(e.fields["channel"], e.fields["bad"], e.fields["reasons"], e.fields["sample"]) for e in events] == [
        ("Cz", True, ["flat"], 700),
        ("Cz", False, [], 1300),
    ]
    assert [e.time for e in events] == pytest.approx([START_S + 6.99, START_S + 12.99])
    assert events[0].fields["values"]["amplitude"] == 0
    listed = [e.fields["bad_channels"] for e in tape.of("event") if e.kind == "status"]
    assert ["Cz"] in listed
    doubtful = [e.fields.get("doubtful_channels", []) for e in tape.of("event") if e.kind == "status"]
    assert (["Cz"] in doubtful) == (size < 400)  # a chunk of four seconds hides it
    assert not any(set(one) & set(other) for one, other in zip(listed, doubtful, strict=True))
    assert listed[-1] == []


def test_a_long_gap_takes_all_channels_for_good_again():
    """Judging begins anew, and says so."""
    data = brown(500)
    data[2] = 0.0
    steps = [data[:, :400], 2.0, data[:, :50]]
    session, tape, _ = session_of(steps, decoder=decoder_of(stages=[ReportQuality()]))
    session.run()
    events = [e.fields for e in tape.of("event") if e.kind == "bad_channel"]
    assert [(e["channel"], e["bad"], e["reasons"], e["sample"]) for e in events] == [
        ("C4", True, ["flat"], 300),
        ("C4", False, ["restart"], 600),
    ]
