"""What happens at the bedside, written out by hand: one character for each prediction or act.

In: ``H`` 0.9 (causes the alarm), ``m`` 0.6 (between the thresholds), ``l`` 0.1, ``T`` and ``t`` 0.8 and 0.4 (the
thresholds), ``F`` fault, ``S`` settling, ``X`` stream lost, ``_`` a gap (the next prediction is two hops after the
last), ``A`` acknowledge, ``M`` mute for two hops, ``0`` end the mute.

Out, first row: ``-`` ok, ``w`` warning, ``A`` alarm, ``L`` one that waits to be acknowledged, ``a`` acknowledged alarm,
``F`` fault, ``s`` settling. Second row, events: ``+`` on, ``!`` off, ``f`` fault, ``.`` none. Third row, what is heard:
``)`` an alarm, ``x`` nothing, since muted.
"""

import pytest

from bci.alarm import Alarm, AlarmSpec, State

HOP_S = 0.5
LEVELS = {"H": 0.9, "T": 0.8, "m": 0.6, "t": 0.4, "l": 0.1}
WORDS = {State.OK: "-", State.WARNING: "w", State.ALARM: "A", State.FAULT: "F", State.SETTLING: "s"}
EVENTS = {None: ".", "alarm_on": "+", "alarm_off": "!", "fault": "f"}
LATCH = {"latch": True}
VOTES = {"k": 2, "n": 3}
LONG = {"min_duration_s": 2.0}
QUIET = {"refractory_s": 2.0}

SCENARIOS = {
    "an alarm comes and goes": ({}, "lHHml", "-AAA-", ".+..!", " ))) "),
    "one that clears below off, not at it": ({}, "Hmmml", "AAAA-", "+...!", ")))) "),
    "the thresholds belong to the alarm": ({}, "Tttl", "AAA-", "+..!", "))) "),
    "votes do not outlive their alarm": ({"n": 3}, "Hlll", "A---", "+!..", ")   "),
    "two of three": (VOTES, "HllHlHl", "w--w-A-", ".....+!", "     ) "),
    "it lasts its minimum": (LONG, "Hllllll", "AAAA---", "+...!..", "))))   "),
    "the minimum is no maximum": (LONG, "HHHHHHl", "AAAAAA-", "+.....!", ")))))) "),
    "it is not raised again in the refractory time": (QUIET, "HlHHHH", "A-wwwA", "+!...+", ")    )"),
    # faults
    "a fault raises nothing": ({}, "FFFlFl", "FFF-F-", "f...f.", "      "),
    "a fault holds an alarm": ({}, "HFFl", "AFF-", "+f.!", "))) "),
    "a fault counts as time": (LONG, "HFFFl", "AFFF-", "+f..!", ")))) "),
    "a fault of the stream is one fault": ({}, "lXXFl", "-FFF-", ".f...", "     "),
    "a lost stream holds an alarm": ({}, "HXXSSl", "AFFAA-", "+f...!", "))))) "),
    "settling raises nothing": ({}, "lSSHl", "-ssA-", "...+!", "   ) "),
    "a gap in a fault does not end it": ({}, "lF_Fl", "-FFF-", ".f...", "     "),
    # gaps
    "a gap holds an alarm": ({}, "H_Sl", "AAA-", "+..!", "))) "),
    "a gap counts as time in alarm": (LONG, "H_Sl", "AAAA", "+...", "))))"),
    "and so it clears sooner": (LONG, "H_Sll", "AAAA-", "+...!", ")))) "),
    "a gap counts as refractory time": (QUIET, "Hl_SHH", "A-sswA", "+!...+", ")    )"),
    "votes do not reach over a gap": (VOTES, "H_SHH", "wsswA", "....+", "    )"),
    "votes reach over a fault": (VOTES, "HFH", "wFA", ".f+", "  )"),
    # latch and acknowledge
    "a latched alarm waits": (LATCH, "HllllAl", "ALLLL--", "+....!.", ")))))  "),
    "without a latch an acknowledgement only silences": ({}, "HAHl", "Aaa-", "+..!", ")   "),
    "acknowledged while the cause is there": (LATCH, "HAHml", "Aaaa-", "+...!", ")    "),
    "pressed twice, and once too often": (LATCH, "HlAAlA", "AL----", "+.!...", "))    "),
    "nothing to acknowledge leaves nothing behind": (LATCH, "AlHl", "s-AL", "..+.", "  ))"),
    "the minimum holds for an impatient hand": (LATCH | LONG, "HlAlll", "AAaaa-", "+....!", "))    "),
    "a cause that comes back needs another": (LATCH, "HllHlAl", "ALLAL--", "+....!.", ")))))  "),
    "the refractory time comes after it": (LATCH | QUIET, "HlllAHHHH", "ALLL-wwwA", "+...!...+", "))))    )"),
    "a fault holds a latch": (LATCH, "HlFFlA", "ALFFL-", "+.f..!", "))))) "),
    "acknowledged in a fault, it ends after it": (LATCH, "HlFAFl", "ALFFF-", "+.f..!", ")))   "),
    "acknowledged in a gap, likewise": (LATCH, "Hl_ASl", "ALLaa-", "+....!", ")))   "),
    "acknowledged in a fault, but the cause is back": (LATCH, "HlFAHl", "ALFFAL", "+.f...", "))) ))"),
    "acknowledged in a fault, between the thresholds": (LATCH, "HlFAml", "ALFFa-", "+.f..!", ")))   "),
    # mute
    "a mute silences and hides nothing": ({}, "MHHHl", "sAAA-", ".+..!", "xxx) "),
    "a mute in an alarm": ({}, "HMHHHl", "AAAAA-", "+....!", ")xxx) "),
    "a mute ends on demand": ({}, "HMH0H", "AAAAA", "+....", ")xx))"),
    "a mute hides no fault": ({}, "lMFFFl", "--FFF-", "..f...", " xxx  "),
    "a mute goes on over a gap": ({}, "M_SHH", "sssAA", "...+.", "xxx))"),
    "a mute acknowledges nothing": (LATCH, "HMllllA", "AALLLL-", "+.....!", ")xxx)) "),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    changes, acts, *expected = SCENARIOS[name]
    alarm = Alarm(AlarmSpec("seizure", 0.8, 0.4, **changes), HOP_S)
    found = ["", "", ""]
    for act in acts:
        changed = do(alarm, act)
        flags = alarm.flags
        word = WORDS[alarm.now]
        if alarm.now is State.ALARM and (flags.acknowledged or flags.latched):
            word = "a" if flags.acknowledged else "L"
        found[0] += word
        found[1] += EVENTS[changed]
        found[2] += "x" if flags.muted else ")" if flags.sounding else " "
    assert found == expected


def do(alarm, act):
    match act:
        case "F":
            return alarm.step(0.9, trusted=False)
        case "S":
            return alarm.step(0.9, settled=False)
        case "X":
            return alarm.fault()
        case "A":
            return alarm.acknowledge()
        case "_":
            alarm.elapse(2)
            alarm.restart()
        case "M" | "0":
            alarm.mute(2 * HOP_S if act == "M" else 0.0)
        case _:
            return alarm.step(LEVELS[act])
    return None
