"""What the models of both stages share: one pass, named losses, adversaries, files, logging."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import Tensor, nn

from restoreformer.archs.autoencoder import AutoencoderOutput, VQAutoencoder
from restoreformer.archs.checkpoint import load_weights, read_checkpoint, save_checkpoint
from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.dictionary_usage import count_entries, entries_in_use, perplexity
from restoreformer.models.adversary import Adversary, optimizer_arguments


class FaceModel(SRModel):
    """BasicSR's ``SRModel`` with a dictionary and discriminators; the base of both stages.

    An iteration is one pass of the generator, one step of it, and one step of each discriminator. The
    option file's ``train`` block names the losses; each is logged under its own name.
    """

    # What network_g must be.
    GENERATOR: ClassVar[type[VQAutoencoder]] = VQAutoencoder
    # Option keys of losses between two images, and between features and prior, with their log names.
    # BasicSR builds pixel_opt and perceptual_opt itself.
    IMAGE_LOSSES: ClassVar[dict[str, str]] = {}
    LATENT_LOSSES: ClassVar[dict[str, str]] = {}
    # Networks by option key; all but network_g are discriminators.
    NETWORKS: ClassVar[tuple[str, ...]] = ("network_g", "network_d")
    # Registered names whose files may also fill network_g.
    ACCEPTED_CHECKPOINTS: ClassVar[tuple[str, ...]] = ()
    # What the train block may hold, by the kind of thing it is (restoreformer.options checks it).
    TRAIN_OPTIONS: ClassVar[dict[str, str]] = {
        "ema_decay": "value",
        "optim_g": "optimizer",
        "optim_d": "optimizer",
        "scheduler": "scheduler",
        "total_iter": "value",
        "warmup_iter": "value",
        "pixel_opt": "loss",
        "perceptual_opt": "loss",
        "gan_opt": "loss",
        "gan_start_iter": "value",
    }

    def __init__(self, opt: dict[str, Any]) -> None:
        if not opt["is_train"]:
            # What inference takes too; files without a moving average give their only weights.
            opt["path"].setdefault("param_key_g", "params_ema")
        super().__init__(opt)

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong between blocks of an option file, each with a remedy; for ``restoreformer.options``."""
        train = opt["train"]
        for key in cls.NETWORKS[1:]:
            for needed in (cls.gan_option(key), cls.optimizer_option(key)):
                if opt.get(key) is not None and train.get(needed) is None:
                    yield f"train: {needed} is missing, which {key} needs"
        if train.get("pixel_opt") is None and train.get("perceptual_opt") is None:
            yield "train: pixel_opt and perceptual_opt are missing: one of them at least is needed"

    def init_training_settings(self) -> None:
        if problems := list(self.option_problems(self.opt)):
            raise RestoreFormerError("Expected other options: " + "; ".join(problems))
        train = self.opt["train"]
        self.gan_start_iter = int(train.get("gan_start_iter", 1))
        self.adversaries = self._build_adversaries()
        super().init_training_settings()
        self.image_losses = {"l_pix": self.cri_pix, "l_percep": self.cri_perceptual}
        self.image_losses |= {name: self._build_loss(key) for key, name in self.IMAGE_LOSSES.items()}
        self.latent_losses = {name: self._build_loss(key) for key, name in self.LATENT_LOSSES.items()}
        self.usage = torch.zeros(self.dictionary.num_embeddings, dtype=torch.int64, device=self.device)
        self.losses: dict[str, Tensor] = {}

    @property
    def dictionary(self) -> nn.Embedding:
        """The entries, ``(n_embed, embed_dim)``."""
        return self.get_bare_model(self.net_g).quantize.embedding

    def _build_loss(self, key: str) -> nn.Module | None:
        options = self.opt["train"].get(key)
        return None if not options else build_loss(options).to(self.device)

    def _build_adversaries(self) -> dict[str, Adversary]:
        adversaries = {}
        for key in self.NETWORKS[1:]:
            if self.opt.get(key) is None:
                continue
            criterion = build_loss(self.opt["train"][self.gan_option(key)]).to(self.device)
            label = key.removeprefix("network_")
            net = self.model_to_device(build_network(self.opt[key]))
            self.print_network(net)
            path = self.opt["path"]
            if path.get(f"pretrain_{key}") is not None:
                strict, param_key = path.get(f"strict_load_{label}", True), path.get(f"param_key_{label}", "params")
                self.load_network(net, path[f"pretrain_{key}"], strict, param_key)
            net.train()
            adversaries[key] = Adversary(label, net, criterion)
        return adversaries

    @classmethod
    def gan_option(cls, network: str) -> str:
        """The key in ``train`` of a discriminator's loss."""
        return "gan_opt"

    @classmethod
    def optimizer_option(cls, network: str) -> str:
        """The key in ``train`` of a discriminator's optimizer."""
        return "optim_d"

    def setup_optimizers(self) -> None:
        super().setup_optimizers()
        for network, adversary in self.adversaries.items():
            kind, arguments = optimizer_arguments(self.opt["train"][self.optimizer_option(network)])
            adversary.optimizer = self.get_optimizer(kind, adversary.net.parameters(), **arguments)
            self.optimizers.append(adversary.optimizer)

    def optimize_parameters(self, current_iter: int) -> None:
        adversarial = current_iter >= self.gan_start_iter
        for adversary in self.adversaries.values():
            adversary.set_learning(False)
        self.optimizer_g.zero_grad(set_to_none=True)
        out = self.net_g(self.lq, with_latents=True)
        losses = self.generator_losses(out, adversarial)
        torch.stack(list(losses.values())).sum().backward()
        self.optimizer_g.step()
        self.losses = {name: value.detach() for name, value in losses.items()}
        self.usage += count_entries(out.indices, len(self.usage))
        if adversarial:
            for network, adversary in self.adversaries.items():
                adversary.set_learning(True)
                self.losses |= adversary.learn(*self.discriminator_inputs(network))
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        self.after_step(current_iter, out)

    def generator_losses(self, out: AutoencoderOutput, adversarial: bool) -> dict[str, Tensor]:
        """Every weighted term of the generator's loss, by its log name."""
        self.output = out.image.detach()
        losses = {
            name: _total(criterion(out.image, self.gt))
            for name, criterion in self.image_losses.items()
            if criterion is not None
        }
        losses |= {
            name: criterion(out.latents, out.prior)
            for name, criterion in self.latent_losses.items()
            if criterion is not None
        }
        if adversarial and (adversary := self.adversaries.get("network_d")):
            losses["l_g_gan"] = adversary.generator_loss(adversary.net(out.image))
        return losses

    def discriminator_inputs(self, network: str) -> tuple[Tensor, Tensor]:
        """Real and generated images for a discriminator's step."""
        return self.gt, self.output

    def after_step(self, current_iter: int, out: AutoencoderOutput) -> None:
        """What a stage does when all have stepped."""

    def get_current_log(self) -> Mapping[str, float]:
        # Here and not in the iteration: most iterations log nothing, and reading a value waits for the device.
        if self.opt["dist"]:
            torch.distributed.all_reduce(self.usage)
        values = OrderedDict(self.losses)
        values["entries_in_use"] = entries_in_use(self.usage)
        values["perplexity"] = perplexity(self.usage)
        self.usage.zero_()
        return self.reduce_loss_dict(values)

    def get_current_visuals(self) -> dict[str, Tensor]:
        # BasicSR's images are in [0, 1]; the networks' are in [-1, 1].
        return OrderedDict((k, v / 2 + 0.5) for k, v in super().get_current_visuals().items())

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load every tensor or stop; with ``strict_load_*: false`` BasicSR's own, which logs what differs."""
        if not strict:
            super().load_network(net, load_path, strict, param_key)
            return
        net = self.get_bare_model(net)
        accept = self.ACCEPTED_CHECKPOINTS if type(net).__name__ == self.opt["network_g"]["type"] else ()
        load_weights(net, read_checkpoint(load_path, param_key), accept)
        get_root_logger().info(f"Loaded {type(net).__name__} from {load_path}.")

    @master_only
    def save_network(
        self, net: nn.Module | list[nn.Module], net_label: str, current_iter: int, param_key: str | list[str] = "params"
    ) -> None:
        """As BasicSR's, with the configuration in the file; a failure to write stops the training."""
        nets = [self.get_bare_model(n) for n in (net if isinstance(net, list) else [net])]
        iteration = "latest" if current_iter == -1 else current_iter
        save_checkpoint(Path(self.opt["path"]["models"]) / f"{net_label}_{iteration}.pth", *nets)

    def save(self, epoch: int, current_iter: int) -> None:
        for adversary in self.adversaries.values():
            self.save_network(adversary.net, f"net_{adversary.label}", current_iter)
        super().save(epoch, current_iter)


def _total(value: Tensor | tuple[Tensor | None, ...]) -> Tensor:
    """A loss's value; BasicSR's ``PerceptualLoss`` gives a pair, of which either may be None."""
    if isinstance(value, Tensor):
        return value
    return torch.stack([v for v in value if v is not None]).sum()
