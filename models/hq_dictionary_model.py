"""Stage 1: learning the HQ dictionary (Sec. 3.2, Eq. 18)."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY

from restoreformer.archs.autoencoder import AutoencoderOutput
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.vgg19 import VGG19Encoder
from restoreformer.frozen.weights import load_frozen
from restoreformer.models.dictionary_renewal import DictionaryRenewal
from restoreformer.models.face_model import NO_FILE, FaceModel


@MODEL_REGISTRY.register()
class HQDictionaryModel(FaceModel):
    """Trains ``network_g`` to reconstruct undegraded faces, against ``network_d``.

    ``network_g`` is ``HQDictionary`` or ``HQDictionaryPaper``.

    ``train`` takes, beyond BasicSR's ``pixel_opt``, ``perceptual_opt``, ``gan_opt``, ``optim_*`` and
    ``scheduler``: ``dictionary_opt`` (Eq. 15), ``commitment_opt`` (Eq. 16), ``gan_start_iter``, and
    ``renewal_opt`` (:class:`~restoreformer.models.dictionary_renewal.DictionaryRenewal`). A fixed
    encoder (``network_g: encoder: vgg19``) takes its weights from ``path: pretrain_encoder``.
    """

    GENERATORS = (HQDictionary, HQDictionaryPaper)
    LATENT_LOSSES: ClassVar[dict[str, str]] = {"dictionary_opt": "l_dict", "commitment_opt": "l_commit"}
    PATH_OPTIONS = ("pretrain_encoder",)
    TRAIN_OPTIONS: ClassVar[dict[str, str]] = {
        **FaceModel.TRAIN_OPTIONS,
        "dictionary_opt": "loss",
        "commitment_opt": "loss",
        "renewal_opt": "renewal",
    }

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[str]:
        yield from super().option_problems(opt)
        fixed = opt.get("network_g", {}).get("encoder", "learned") != "learned"
        path = opt.get("path") or {}
        there = path.get("pretrain_network_g") not in (None, NO_FILE) or path.get("resume_state")
        if path.get("pretrain_encoder") and not fixed:
            yield "path: pretrain_encoder is given, but network_g has no fixed encoder"
        if fixed and not there and not path.get("pretrain_encoder"):
            yield "path: pretrain_encoder is missing, which a fixed encoder needs: vgg19-dcbb9e9d.pth, or none"

    def load_fixed_parts(self) -> None:
        encoder = self.get_bare_model(self.net_g).encoder
        if isinstance(encoder, VGG19Encoder) and not self.starts_from_file:
            load_frozen(encoder, self.opt["path"].get("pretrain_encoder"), "encoder")

    def init_training_settings(self) -> None:
        super().init_training_settings()
        average = self.net_g_ema.quantize.embedding if self.ema_decay > 0 else None
        options = {"seed": self.opt.get("manual_seed") or 0} | (self.opt["train"].get("renewal_opt") or {})
        self.renewal = DictionaryRenewal(self.dictionary, average, **options)

    def parts_state(self) -> dict[str, Any]:
        return super().parts_state() | {"renewal": self.renewal.state()}

    def load_parts_state(self, state: Mapping[str, Any]) -> None:
        super().load_parts_state(state)
        if "renewal" in state:
            self.renewal.load_state(state["renewal"])

    def optimize_parameters(self, current_iter: int) -> None:
        if current_iter == 1 and self.renewal.start == "encoder" and not self.starts_from_file:
            get_root_logger().info("The dictionary starts from encoder outputs of the first batch.")
            with torch.no_grad():
                self.renewal.begin(self.get_bare_model(self.net_g).encode(self.lq))
        super().optimize_parameters(current_iter)

    def after_step(self, current_iter: int, out: AutoencoderOutput) -> None:
        self.renewal.after_step(current_iter, out.latents, out.indices, self.optimizer_g)
