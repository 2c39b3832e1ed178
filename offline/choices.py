"""The words that settings of a training may have."""

from __future__ import annotations

from typing import Literal

LossName = Literal["cross_entropy", "focal", "kl"]
VoteWeights = Literal["none", "count", "steps"]
TargetsName = Literal["window", "samples"]
Balance = Literal["none", "classes"]
Precision = Literal["float32", "bfloat16", "float16"]
Monitor = Literal["accuracy", "balanced_accuracy", "loss"]
Device = Literal["cpu", "cuda"]
SplitName = Literal["leave-one-out", "k-fold", "temporal", "archive"]
