"""Image networks of the package timm on the stacked spectrograms, with GeM pooling; needs the extra ``timm``."""

from __future__ import annotations

from torch import Tensor, nn

from models.images import stacked_image
from models.layers import FixedScale, GeMPool


class TimmBackbone(nn.Module):
    """Three-plane stacked image, a convolutional network made elsewhere, GeM pooling and a classifier.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    backbone : nn.Module
        From (batch, 3, height, width) to maps; it has the number of them, ``head_hidden_size`` or ``num_features``.
    neighbours : tuple of tuple of int
        See `models.images.stacked_image`.
    dropout : float, default=0.2
        Before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    backbone : nn.Module
        Its output is the last map before pooling: what Grad-CAM reads.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        backbone: nn.Module,
        neighbours: tuple[tuple[int, ...], ...],
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_features, n_times)
        self.scale = FixedScale(offset_db, scale_db)
        self.image = stacked_image(n_channels, neighbours)
        self.backbone = backbone
        self.pool = GeMPool()
        self.dropout = nn.Dropout(dropout)
        # a MobileNet widens its maps once more behind the blocks that `num_features` is of
        n_maps = getattr(backbone, "head_hidden_size", None) or backbone.num_features
        self.head = nn.Linear(int(n_maps), n_classes)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_times)
            Spectral power, in dB.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)

        Raises
        ------
        ValueError
            If the backbone gives no maps.
        """
        maps = self.backbone(self.image(self.scale(x)))
        if maps.dim() != 4:
            raise ValueError(
                f"A backbone must give maps of shape (batch, n, height, width), got {tuple(maps.shape)}. "
                "Use a convolutional one."
            )
        return self.head(self.dropout(self.pool(maps)))


def timm_backbone(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    backbone: str = "mixnet_s",
    neighbours: tuple[tuple[int, ...], ...] = (),
    drop_path: float = 0.0,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build a network of timm on stacked spectrograms, with fresh weights.

    With ``mixnet_s`` and 2 classes: 2,600,681 parameters, whatever the window.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    backbone : str, default="mixnet_s"
        A convolutional model of timm, such as ``mixnet_xl``, ``efficientnet_b0`` or ``resnet18``.
    neighbours : tuple of tuple of int, default=()
        See `models.images.stacked_image`.
    drop_path : float, default=0.0
        Share of residual blocks that training leaves out.
    dropout, offset_db, scale_db
        See `TimmBackbone`.

    Raises
    ------
    ValueError
        If timm is not installed or has no such model.

    Notes
    -----
    Nothing is downloaded. A training may start from weights that were learnt from photographs: the names in timm's
    files are those of the ``backbone`` here (``bci-train run --start-weights``).
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            f"Model 'timm_backbone' needs the package {error.name}, which is not installed. "
            "Install it: pip install 'streaming-bci[timm]'."
        ) from error
    if not timm.is_model(backbone):
        raise ValueError(f"timm {timm.__version__} has no model {backbone!r}. Its list: timm.list_models().")
    made = timm.create_model(
        backbone, pretrained=False, in_chans=3, num_classes=0, global_pool="", drop_path_rate=drop_path
    )
    return TimmBackbone(n_channels, n_features, n_times, n_classes, made, neighbours, dropout, offset_db, scale_db)
