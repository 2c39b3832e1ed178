"""What can go wrong, by name. Times are seconds of signal; the seizure lasts from 16 to 24 of 32 s."""

from __future__ import annotations

from tests.chaos.rig import Scenario

EEG = "C3,Cz,C4"  # faults of values spare the counter

WHOLE = {
    "nothing": Scenario(),
    "jitter": Scenario(("jitter:0.004",)),
    "stall": Scenario(("stall:8,4",)),
    "stall in the seizure": Scenario(("stall:18,4",)),
    "clock back": Scenario(("clock_jump:10,-2.0003",)),
    "clock forward": Scenario(("clock_jump:10,2.0003",)),
    "fast clock": Scenario(("rate_drift:1%",), seconds=64.0),
    "duplicates": Scenario(("duplicate:0.05",)),
    "one NaN": Scenario(("nan:8,2,C3",)),
    "all NaN": Scenario((f"nan:8,2,{EEG}",)),
    "all NaN in the seizure": Scenario((f"nan:18,2,{EEG}",)),
    "flat": Scenario((f"flat:8,3,{EEG}",)),
    "flat in the seizure": Scenario((f"flat:18,1,{EEG}",)),
    "step": Scenario((f"dc:10.1,20000,{EEG}",)),
}
"""Nothing is lost: every sample arrives."""

REORDERED = {"reordered": Scenario(("reorder:0.05",))}
"""Every sample arrives, but some after their place was given up."""

LOSSES = {
    "1 % of chunks": Scenario(("drop:0.01",), seed=1),
    "10 % of chunks": Scenario(("drop:0.1",)),
    "long gap": Scenario(("drop:10.01,0.7",)),
    "long gap in the seizure": Scenario(("drop:18,2",)),
    "gap over the seizure's end": Scenario(("drop:22,4",)),
    "step in a short gap": Scenario(("drop:10,0.05", f"dc:10.02,20000,{EEG}")),
    "step in a long gap": Scenario(("drop:10,0.5", f"dc:10.2,20000,{EEG}")),
    "losses and jitter": Scenario(("drop:10,0.3", "drop:26,0.5", "jitter:0.0004")),
}
"""What the sender does not send; the session goes on."""

GOING_ON = WHOLE | REORDERED | LOSSES

RETURNS = {
    "restart": Scenario(("restart:5,3",)),
    "restart without an id": Scenario(("restart:5,3", "anonymous")),
    "restart in another order": Scenario(("restart:5,3,order",)),
    "restart in the seizure": Scenario(("restart:17.5,3",)),
    "step in a restart": Scenario(("restart:5,3", f"dc:6,20000,{EEG}")),
    "restart as another, then as itself": Scenario(
        ("restart:4,2,count", "restart:9,1"), settings={"on_mismatch": "wait"}
    ),
    "killed and started again": Scenario(("kill:8",), successor=("--start=10", "--now")),
    "killed and started again without an id": Scenario(
        ("kill:8", "anonymous"), successor=("--start=10", "--now", "--fault=anonymous")
    ),
}
"""The sender goes and comes back; the session goes on."""

ENDS = {
    "restart with half the rate": Scenario(("restart:8,2,rate",)),
    "restart with a channel less": Scenario(("restart:8,2,count",)),
    "restart with other names": Scenario(("restart:8,2,names",)),
    "restart with another id": Scenario(("restart:8,2,id",), settings={"reconnect_s": 3.0}),
    "killed for good": Scenario(("kill:8",), settings={"reconnect_s": 1.0}),
    "killed with nobody waiting": Scenario(("kill:8",), settings={"reconnect_s": 0.0}),
}
"""The sender does not come back, or as another; the session ends and says why."""

SCENARIOS = GOING_ON | RETURNS | ENDS
