"""Settings of one training and what an epoch of it gave."""

from __future__ import annotations

from dataclasses import dataclass

from bci.errors import SpecError
from offline.choices import Balance, Device, LossName, Monitor, Precision, TargetsName, VoteWeights
from offline.losses import LossSpec


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Settings of one training.

    Parameters
    ----------
    epochs : int
        Length of the learning-rate schedule.
    patience : int
        Epochs without a better validation score after which training stops.
    batch_size : int
        Windows per step of the optimiser, in all parts and processes together; a last incomplete batch is left out.
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
        Decoupled decay.
    seed : int
        Seed of the order, the crops, the augmentations and the dropout.
    label_smoothing : float, default=0.05
        Share of the target that goes to all classes.
    stop_after : int or None, default=None
        Stop after so many epochs of the schedule: for a final model without validation.
    loss : {"cross_entropy", "focal", "kl"}, default="cross_entropy"
        See `offline.losses`.
    focal_gamma : float, default=2.0
        Exponent of the focal loss.
    vote_weights : {"none", "count", "steps"}, default="none"
        How much a stretch counts, by its votes.
    balance : {"none", "classes"}, default="none"
        Whether classes are drawn equally often.
    augment : tuple of str, default=()
        Augmentations by name, see `offline.augment.registry`.
    ema_decay : float, default=0.0
        Weight of the past in the moving average of the weights that is kept instead of them; 0 keeps the weights.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Of the forward pass; weights, loss and optimiser stay in float32.
    accumulate : int, default=1
        Parts in which a batch is computed one after the other; batch statistics are those of a part.
    clip_norm : float, default=0.0
        Longest gradient; 0 does not clip.
    monitor : {"accuracy", "balanced_accuracy", "loss"}, default="accuracy"
        Figure of the validation side that decides which epoch is best.
    second_stage_votes : float, default=0.0
        Votes that a stretch needs to take part in the second stage of the training; 0 trains in one stage.
    second_stage_share : float, default=0.5
        Share of the epochs after which the second stage begins.
    device : {"cpu", "cuda"}, default="cpu"
        Where the network is trained.
    targets : {"window", "samples"}, default="window"
        Whether a window is learnt as one, or each of its samples with its own class. Validation is of windows.

    Raises
    ------
    SpecError
        If settings are out of range or do not fit each other.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    label_smoothing: float = 0.05
    stop_after: int | None = None
    loss: LossName = "cross_entropy"
    focal_gamma: float = 2.0
    vote_weights: VoteWeights = "none"
    balance: Balance = "none"
    augment: tuple[str, ...] = ()
    ema_decay: float = 0.0
    precision: Precision = "float32"
    accumulate: int = 1
    clip_norm: float = 0.0
    monitor: Monitor = "accuracy"
    second_stage_votes: float = 0.0
    second_stage_share: float = 0.5
    device: Device = "cpu"
    targets: TargetsName = "window"

    def __post_init__(self) -> None:
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise SpecError(
                "Accumulation needs a batch that can be cut into equal parts, got "
                f"batch_size {self.batch_size} and accumulate {self.accumulate}. Use a divisor."
            )
        if not (0 <= self.clip_norm < float("inf") and 0 < self.second_stage_share < 1):
            raise SpecError(
                "A training needs clip_norm of at least 0 and second_stage_share between 0 and 1, "
                f"got {self.clip_norm:g} and {self.second_stage_share:g}."
            )
        LossSpec(self.loss, self.label_smoothing, self.focal_gamma)

    @property
    def loss_spec(self) -> LossSpec:
        """The loss that is minimised."""
        return LossSpec(self.loss, self.label_smoothing, self.focal_gamma)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave.

    Parameters
    ----------
    index : int
        Number of the epoch, from 0.
    train_loss : float
        Mean loss over the steps, in training mode.
    validation_loss, validation_accuracy : float or None
        Of several windows per validation stretch, without smoothing; None without validation.
    validation_balanced : float or None, default=None
        Mean over the classes that are there of the share found; None without validation.
    """

    index: int
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_balanced: float | None = None

    @property
    def figures(self) -> str:
        """Loss and validation accuracy, in words."""
        said = f"loss {self.train_loss:.3f}"
        accuracy = self.validation_accuracy
        return said if accuracy is None else f"{said}, validation accuracy {accuracy:.3f}"

    def score(self, monitor: Monitor) -> tuple[float, float]:
        """Return what is compared between epochs, larger is better; equal figures are told apart by the loss.

        Parameters
        ----------
        monitor : {"accuracy", "balanced_accuracy", "loss"}
            Which figure.
        """
        loss = -(self.validation_loss or 0.0)
        if monitor == "loss":
            return loss, loss
        figure = self.validation_accuracy if monitor == "accuracy" else self.validation_balanced
        return figure or 0.0, loss
