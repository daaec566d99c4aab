"""The HQ dictionary: nearest entries of a learnt codebook (Eq. 7 and 14)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.archs.blocks import without_autocast


class VectorQuantizer(nn.Module):
    """A dictionary of ``n_embed`` entries of length ``embed_dim``.

    Entries start uniform in [-1/n_embed, 1/n_embed] (Sec. 3.2 says uniform; the range is the released
    code's). Which losses move them is not decided here: see ``restoreformer.losses``.
    """

    def __init__(self, n_embed: int, embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_embed, embed_dim)
        nn.init.uniform_(self.embedding.weight, -1.0 / n_embed, 1.0 / n_embed)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Replace each feature vector by its nearest entry.

        Args:
            latents: Z_h or Z_d, ``(n, embed_dim, h, w)``.

        Returns:
            The prior Z_p, ``(n, embed_dim, h, w)``, with gradients to the dictionary only, and the
            indices of the entries, ``(n, h, w)``, int64.
        """
        indices = self.nearest(latents.detach())
        return self.lookup(indices), indices

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """Index of the nearest entry by L2 distance for each position, ``(n, h, w)``.

        Computed in float32 whatever autocast says: half precision confuses near neighbours. ``|z|^2``
        is the same for every entry and left out.
        """
        n, c, h, w = latents.shape
        with without_autocast(latents.device):
            vectors = latents.permute(0, 2, 3, 1).reshape(-1, c).float()
            entries = self.embedding.weight.float()
            distances = torch.addmm(entries.square().sum(1), vectors, entries.t(), alpha=-2.0)
            return distances.argmin(1).view(n, h, w)

    def lookup(self, indices: Tensor) -> Tensor:
        """The entries at ``indices`` ``(n, h, w)`` as a feature map ``(n, embed_dim, h, w)``."""
        return F.embedding(indices, self.embedding.weight).permute(0, 3, 1, 2)
