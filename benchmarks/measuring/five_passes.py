"""An iteration as the released training loop runs it: the generator passes once for each of five optimizers.

The network is spandrel's copy of the released one, in the order of memory it has by itself, with torch's default
Adam; discriminators and losses are those of the model that it is compared with.
"""

import copy
from typing import Any

import torch
from spandrel.architectures.RestoreFormer.__arch.restoreformer_arch import RestoreFormer as SpandrelRestoreFormer
from torch import Tensor, nn

from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.frozen.arcface import ArcFaceResNet18
from restoreformer.geometry import REGIONS
from restoreformer.losses.arcface_identity_loss import ArcFaceIdentityLoss
from restoreformer.models.adaptive_weight import adaptive_weight


class FivePasses:
    """Stage 2 as released, on what ``model`` was fed.

    Args:
        model: a ``RestoreFormerModel`` of the released network; it is only read.
    """

    def __init__(self, model: Any) -> None:
        ours = model.get_bare_model(model.net_g)
        if not isinstance(ours, RestoreFormer) or ours.fusion != "mhca-p" or ours.new_tensors or not model.regions:
            raise SystemExit("error: Expected stage 2 of the released network with component discriminators.")
        sizes = {k: v for k, v in ours.config.items() if k not in ("fusion", "extra_attn_resolutions")}
        net = SpandrelRestoreFormer(**sizes).to(model.device)
        net.load_state_dict(ours.state_dict())
        self.model = model
        self.image_losses = copy.deepcopy(model.image_losses)
        for criterion in filter(None, self.image_losses.values()):
            criterion.to(memory_format=torch.contiguous_format)
        identity = self.image_losses.get("l_identity")
        if isinstance(identity, ArcFaceIdentityLoss) and isinstance(identity.net.net, ArcFaceResNet18):
            # Ours is made quicker when it is loaded; as released, its weights at random like that one's.
            identity.net.net = ArcFaceResNet18().eval().requires_grad_(False).to(model.device)
        self.nets: dict[str, nn.Module] = {"network_g": net}
        for name, adversary in model.adversaries.items():
            self.nets[name] = copy.deepcopy(adversary.net).to(memory_format=torch.contiguous_format)
        # Self-attention's second norm and the dictionary get no gradient.
        self.learning = {
            "network_g": [p for n, p in net.named_parameters() if dict(ours.named_parameters())[n].requires_grad],
            **{name: list(self.nets[name].parameters()) for name in model.adversaries},
        }
        self.optimizers = {name: torch.optim.Adam(learning, 1e-4) for name, learning in self.learning.items()}

    def iterate(self) -> None:
        """One step of each network, each after a pass of the generator."""
        for name, optimizer in self.optimizers.items():
            for other, net in self.nets.items():
                net.requires_grad_(False)
                if other == name:
                    for parameter in self.learning[other]:
                        parameter.requires_grad_(True)
            optimizer.zero_grad()
            image, prior_loss = self._generate()
            loss = self._generator(image, prior_loss) if name == "network_g" else self._discriminator(name, image)
            loss.backward()
            optimizer.step()

    def _generate(self) -> tuple[Tensor, Tensor]:
        net: Any = self.nets["network_g"]
        prior, prior_loss, _, features = net.encode(self.model.lq)
        return net.decode(prior, features), prior_loss

    def _inputs(self, name: str, image: Tensor) -> tuple[Tensor, Tensor]:
        region = name.removeprefix("network_d_")
        if region not in REGIONS:
            return self.model.gt, image
        return self.model._crop(self.model.gt, region), self.model._crop(image, region)

    def _generator(self, image: Tensor, prior_loss: Tensor) -> Tensor:
        model, net = self.model, self.nets["network_g"]
        on_image = {name: c(image, model.gt) for name, c in self.image_losses.items() if c is not None}
        # The perceptual loss may come with a style.
        terms = {n: sum(v) if isinstance(v, tuple) else v for n, v in on_image.items()}
        terms["l_prior"] = prior_loss
        for name in model.adversaries:
            real, fake = self._inputs(name, image)
            adversary, judge = model.adversaries[name], self.nets[name]
            if name == "network_d" or model.component_style is None:
                terms[name] = adversary.criterion(judge(fake), True, is_disc=False)
                continue
            logits, features = judge(fake, with_features=True)
            with torch.no_grad():
                _, wanted = judge(real, with_features=True)
            terms[name] = adversary.criterion(logits, True, is_disc=False) + model.component_style(features, wanted)
        if model.adaptive_gan_weight:
            balanced = sum(v for n, v in terms.items() if n in ("l_pix", "l_percep"))
            gradients = [torch.autograd.grad(v, image, retain_graph=True)[0] for v in (balanced, terms["network_d"])]
            terms["network_d"] = terms["network_d"] * adaptive_weight(image, *gradients, net.decoder.conv_out.weight)
        return torch.stack(list(terms.values())).sum()

    def _discriminator(self, name: str, image: Tensor) -> Tensor:
        real, fake = self._inputs(name, image.detach())
        criterion, judge = self.model.adversaries[name].criterion, self.nets[name]
        return criterion(judge(real), True, is_disc=True) + criterion(judge(fake), False, is_disc=True)
