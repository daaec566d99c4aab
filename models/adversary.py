"""A discriminator with its optimizer and its loss: both sides of the game from one pass of each image."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restoreformer.models.finite import Watch


class Verdict(NamedTuple):
    """What a discriminator says of a batch: logits, and features where they were asked for."""

    logits: Tensor
    features: list[Tensor]


class Adversary:
    """One discriminator of a face or of a component.

    Real and generated images pass through it once. What the generator pays is differentiated with respect
    to the generated image, what the discriminator pays with respect to its own weights, and then the graph
    of both passes is let go.

    Args:
        label: ``d``, ``d_left_eye``, …; files and log entries are named after it.
        net: the discriminator on its device, wrapped for several devices or not.
        criterion: BasicSR's ``GANLoss``; its weight counts for the generator only.
        autocast: gives the context that passes run in.
    """

    optimizer: torch.optim.Optimizer
    real: Verdict
    fake: Verdict

    def __init__(
        self, label: str, net: nn.Module, criterion: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.label = label
        self.net = net
        self.criterion = criterion
        self.autocast = autocast
        self.suffix = label.removeprefix("d")

    @property
    def weight(self) -> float:
        """Factor on the generator's loss."""
        return float(self.criterion.loss_weight)  # type: ignore[arg-type]

    def judge(self, real: Tensor, fake: Tensor, with_features: bool = False) -> None:
        """Pass real images and generated ones, both RGB ``(n, 3, h, w)``, [-1, 1]."""
        self.real, self.fake = self._judged(real, with_features), self._judged(fake, with_features)

    def _judged(self, images: Tensor, with_features: bool) -> Verdict:
        with self.autocast():
            logits, features = self.net(images, with_features=True) if with_features else (self.net(images), [])
        return Verdict(logits.float(), features)

    def generator_loss(self) -> Tensor:
        """What the generator pays for being told from real."""
        return self.criterion(self.fake.logits, True, is_disc=False)

    def learn(self, watch: Watch) -> dict[str, Tensor]:
        """One step of the discriminator on what it last judged, whose graph ends here.

        Args:
            watch: sees that the loss is one to learn from.

        Returns:
            The loss and the mean logits, under BasicSR's names.
        """
        losses = [self.criterion(v.logits, is_real, is_disc=True) for v, is_real in self._verdicts]
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.stack(losses).sum()
        watch.see({f"l_d{self.suffix}": loss})
        (loss * watch.poison).backward(inputs=[p for p in self.net.parameters() if p.requires_grad])
        watch.step(self.optimizer, f"network_{self.label}")
        real, fake = (verdict.logits.detach().mean() for verdict, _ in self._verdicts)
        del self.real, self.fake
        return {
            f"l_d{self.suffix}": loss.detach(),
            f"out_d{self.suffix}_real": real,
            f"out_d{self.suffix}_fake": fake,
        }

    @property
    def _verdicts(self) -> tuple[tuple[Verdict, bool], ...]:
        return (self.real, True), (self.fake, False)


def optimizer_arguments(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An option block of an optimizer as its type and its arguments; the block is left as it is."""
    return options["type"], {k: v for k, v in options.items() if k != "type"}
