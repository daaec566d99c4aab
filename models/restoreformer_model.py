"""Stage 2: learning to restore (Sec. 3.1, Eq. 13)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor
from torchvision.ops import roi_align

from restoreformer.archs.autoencoder import AutoencoderOutput
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, REGIONS
from restoreformer.models.face_model import FaceModel

# Sides of the crops for a face of 512 pixels (released code).
EYE_ROI_SIZE, MOUTH_ROI_SIZE = 80, 120


@MODEL_REGISTRY.register()
class RestoreFormerModel(FaceModel):
    """Trains ``network_g`` (``RestoreFormer``) on degraded faces, starting from stage 1's.

    ``path: pretrain_network_g`` takes over encoder, decoder and dictionary from an ``HQDictionary``
    file, of which the dictionary is frozen; the decoder's cross-attentions begin with the weights of
    the self-attentions in whose place they stand. ``network_d`` judges the face, and
    ``network_d_left_eye``, ``network_d_right_eye`` and ``network_d_mouth`` (all three or none) crops.

    ``train`` takes, beyond :class:`FaceModel`'s: ``prior_opt`` (Eq. 10), ``identity_opt`` (Eq. 12),
    ``component_gan_opt`` and ``component_style_opt`` (Eq. 11), ``optim_component``, ``eye_roi_size``
    and ``mouth_roi_size`` (pixels for a face of 512).

    Raises:
        RestoreFormerError: some but not all component discriminators, or samples without boxes.
    """

    IMAGE_LOSSES: ClassVar[dict[str, str]] = {"identity_opt": "l_identity"}
    LATENT_LOSSES: ClassVar[dict[str, str]] = {"prior_opt": "l_prior"}
    NETWORKS: ClassVar[tuple[str, ...]] = (*FaceModel.NETWORKS, *(f"network_d_{region}" for region in REGIONS))
    ACCEPTED_CHECKPOINTS: ClassVar[tuple[str, ...]] = ("HQDictionary",)
    TRAIN_OPTIONS: ClassVar[dict[str, str]] = {
        **FaceModel.TRAIN_OPTIONS,
        "prior_opt": "loss",
        "identity_opt": "loss",
        "component_gan_opt": "loss",
        "component_style_opt": "loss",
        "optim_component": "optimizer",
        "eye_roi_size": "value",
        "mouth_roi_size": "value",
    }

    def init_training_settings(self) -> None:
        present = [key for key in self.NETWORKS[2:] if self.opt.get(key) is not None]
        if present and len(present) < len(REGIONS):
            raise RestoreFormerError(
                f"Expected {', '.join(self.NETWORKS[2:])} or none of them, got {', '.join(present)}."
            )
        self.regions = REGIONS if present else ()
        train = self.opt["train"]
        eye, mouth = train.get("eye_roi_size", EYE_ROI_SIZE), train.get("mouth_roi_size", MOUTH_ROI_SIZE)
        self.roi_sizes = {"left_eye": eye, "right_eye": eye, "mouth": mouth}
        self.get_bare_model(self.net_g).quantize.requires_grad_(False)
        super().init_training_settings()
        self.component_style = self._build_loss("component_style_opt")

    def _gan_option(self, network_key: str) -> str:
        return "gan_opt" if network_key == "network_d" else "component_gan_opt"

    def _optimizer_option(self, label: str) -> str:
        return "optim_d" if label == "d" else "optim_component"

    def feed_data(self, data: Mapping[str, Any]) -> None:
        super().feed_data(data)
        # Validation needs none.
        self.boxes = {region: data[f"loc_{region}"].to(self.device) for region in REGIONS if f"loc_{region}" in data}

    def generator_losses(self, out: AutoencoderOutput, adversarial: bool) -> dict[str, Tensor]:
        losses = super().generator_losses(out, adversarial)
        if not adversarial or not self.regions:
            return losses
        if not self.boxes:
            raise RestoreFormerError(
                "Expected boxes of eyes and mouth for the component discriminators, the dataset gives none: set its "
                "component_path."
            )
        self.real_crops = {region: self._crop(self.gt, region) for region in self.regions}
        fake_crops = {region: self._crop(out.image, region) for region in self.regions}
        self.fake_crops = {region: crop.detach() for region, crop in fake_crops.items()}
        for region, fake_crop in fake_crops.items():
            adversary = self.adversaries[f"d_{region}"]
            fake_logits, fake_features = adversary.net(fake_crop, with_features=True)
            losses[f"l_g_gan_{region}"] = adversary.generator_loss(fake_logits)
            if self.component_style is not None:
                with torch.no_grad():
                    _, real_features = adversary.net(self.real_crops[region], with_features=True)
                losses[f"l_g_style_{region}"] = self.component_style(fake_features, real_features)
        return losses

    def discriminator_inputs(self, label: str) -> tuple[Tensor, Tensor]:
        if label == "d":
            return super().discriminator_inputs(label)
        region = label.removeprefix("d_")
        return self.real_crops[region], self.fake_crops[region]

    def _crop(self, image: Tensor, region: str) -> Tensor:
        """R_r of Eq. 11: ROI align of a region, ``(n, 3, s, s)``, s in proportion to the image."""
        size = max(1, round(self.roi_sizes[region] * image.shape[-1] / FRAME))
        return roi_align(image, list(self.boxes[region][:, None]), output_size=size)
