"""A discriminator with its optimizer and its loss, and the two steps of the game that it takes part in."""

from typing import Any

import torch
from torch import Tensor, nn


class Adversary:
    """One discriminator of a face or of a component.

    Args:
        label: ``d``, ``d_left_eye``, …; files and log entries are named after it.
        net: the discriminator on its device, wrapped for several devices or not.
        criterion: BasicSR's ``GANLoss``; its weight counts for the generator only.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, label: str, net: nn.Module, criterion: nn.Module) -> None:
        self.label = label
        self.net = net
        self.criterion = criterion
        self.suffix = label.removeprefix("d")

    @property
    def weight(self) -> float:
        """Factor on the generator's loss."""
        return float(self.criterion.loss_weight)  # type: ignore[arg-type]

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """What the generator pays for being told from real."""
        return self.criterion(fake_logits, True, is_disc=False)

    def learn(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator on images ``(n, 3, h, w)``; ``fake`` carries no gradient.

        Returns:
            The loss and the mean logits, under BasicSR's names.
        """
        self.optimizer.zero_grad(set_to_none=True)
        # Each pass is followed by its own way back: DDP may change batch norm's buffers before the next pass.
        losses, logits = [], []
        for images, is_real in ((real, True), (fake, False)):
            logits.append(self.net(images))
            losses.append(self.criterion(logits[-1], is_real, is_disc=True))
            losses[-1].backward()
        self.optimizer.step()
        return {
            f"l_d{self.suffix}": losses[0].detach() + losses[1].detach(),
            f"out_d{self.suffix}_real": logits[0].detach().mean(),
            f"out_d{self.suffix}_fake": logits[1].detach().mean(),
        }

    def set_learning(self, on: bool) -> None:
        """Whether gradients reach the discriminator's own weights."""
        self.net.requires_grad_(on)


def optimizer_arguments(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An option block of an optimizer as its type and its arguments; the block is left as it is."""
    return options["type"], {k: v for k, v in options.items() if k != "type"}
