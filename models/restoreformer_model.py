"""Stage 2: learning to restore (Sec. 3.1, Eq. 13)."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn
from torchvision.ops import roi_align

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, REGIONS
from restoreformer.models.face_model import FaceModel

# Sides of the crops for a face of 512 pixels (released code).
EYE_ROI_SIZE, MOUTH_ROI_SIZE = 80, 120


@MODEL_REGISTRY.register()
class RestoreFormerModel(FaceModel):
    """Trains ``network_g`` (``RestoreFormer`` or ``RestoreFormerPaper``) on degraded faces, from stage 1's.

    ``path: pretrain_network_g`` takes over encoder, decoder and dictionary from an ``HQDictionary`` or
    ``HQDictionaryPaper`` file, of which the dictionary is frozen. The released decoder's
    cross-attentions begin with the weights of the self-attentions in whose place they stand; the
    paper's fusion begins anew. ``network_d`` judges the face, and
    ``network_d_left_eye``, ``network_d_right_eye`` and ``network_d_mouth`` (all three or none) crops.

    ``train`` takes, beyond :class:`FaceModel`'s: ``prior_opt`` (Eq. 10), ``identity_opt`` (Eq. 12),
    ``identity_start_iter``, ``component_gan_opt`` and ``component_style_opt`` (Eq. 11),
    ``optim_component``, ``eye_roi_size`` and ``mouth_roi_size`` (pixels for a face of 512).

    Raises:
        RestoreFormerError: some but not all component discriminators, or samples without boxes.
    """

    GENERATORS = (RestoreFormer, RestoreFormerPaper)
    IMAGE_LOSSES: ClassVar[dict[str, str]] = {"identity_opt": "l_identity"}
    LATENT_LOSSES: ClassVar[dict[str, str]] = {"prior_opt": "l_prior"}
    NETWORKS: ClassVar[tuple[str, ...]] = (*FaceModel.NETWORKS, *(f"network_d_{region}" for region in REGIONS))
    TRAIN_OPTIONS: ClassVar[dict[str, str]] = {
        **FaceModel.TRAIN_OPTIONS,
        "prior_opt": "loss",
        "identity_opt": "loss",
        "identity_start_iter": "value",
        "component_gan_opt": "loss",
        "component_style_opt": "loss",
        "optim_component": "optimizer",
        "eye_roi_size": "value",
        "mouth_roi_size": "value",
    }

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[str]:
        yield from super().option_problems(opt)
        path = opt.get("path") or {}
        if not path.get("pretrain_network_g") and not path.get("resume_state"):
            yield "path: pretrain_network_g is missing: name the file of stage 1, or write none for a random dictionary"
        components = cls.NETWORKS[2:]
        present = [key for key in components if opt.get(key) is not None]
        if present and len(present) < len(components):
            yield f"{', '.join(components)} go together, but there is only {', '.join(present)}"
        data = opt.get("datasets", {}).get("train")
        if present and data is not None and data.get("component_path") is None:
            yield "datasets: train: component_path is missing, which the component discriminators need"

    def init_training_settings(self) -> None:
        train = self.opt["train"]
        eye, mouth = train.get("eye_roi_size", EYE_ROI_SIZE), train.get("mouth_roi_size", MOUTH_ROI_SIZE)
        self.roi_sizes = {"left_eye": eye, "right_eye": eye, "mouth": mouth}
        super().init_training_settings()
        self.start_iters["l_identity"] = int(train.get("identity_start_iter", 1))
        self.regions = REGIONS if f"network_d_{REGIONS[0]}" in self.adversaries else ()
        self.component_style = self._build_loss("component_style_opt")

    def model_to_device(self, net: nn.Module) -> nn.Module:
        if isinstance(net, VQAutoencoder):
            # Before DDP wraps it, which from then on waits for every parameter that learns.
            net.quantize.requires_grad_(False)
        return super().model_to_device(net)

    @classmethod
    def gan_option(cls, network: str) -> str:
        return "gan_opt" if network == "network_d" else "component_gan_opt"

    @classmethod
    def discriminator_options(cls, network: str) -> tuple[str, ...]:
        style = () if network == "network_d" else ("component_style_opt",)
        return *super().discriminator_options(network), *style

    @classmethod
    def optimizer_option(cls, network: str) -> str:
        return "optim_d" if network == "network_d" else "optim_component"

    def feed_data(self, data: Mapping[str, Any]) -> None:
        super().feed_data(data)
        # Validation needs none.
        self.boxes = {region: data[f"loc_{region}"].to(self.device) for region in REGIONS if f"loc_{region}" in data}

    def optimize_parameters(self, current_iter: int) -> None:
        if self.regions and not self.boxes:
            raise RestoreFormerError(
                "Expected boxes of eyes and mouth for the component discriminators, the dataset gives none: set its "
                "component_path."
            )
        super().optimize_parameters(current_iter)

    def adversarial_losses(self, network: str, image: Tensor) -> dict[str, Tensor]:
        if network == "network_d":
            return super().adversarial_losses(network, image)
        adversary, region = self.adversaries[network], network.removeprefix("network_d_")
        style = self.component_style
        adversary.judge(self._crop(self.gt, region), self._crop(image, region), with_features=style is not None)
        losses = {f"l_g_gan_{region}": adversary.generator_loss()}
        if style is not None:
            losses[f"l_g_style_{region}"] = style(adversary.fake.features, adversary.real.features)
        return losses

    def _crop(self, image: Tensor, region: str) -> Tensor:
        """R_r of Eq. 11: ROI align of a region, ``(n, 3, s, s)``, s in proportion to the image."""
        size = max(1, round(self.roi_sizes[region] * image.shape[-1] / FRAME))
        return roi_align(image, list(self.boxes[region][:, None]), output_size=size)
