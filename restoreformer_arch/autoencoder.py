"""What every network around a dictionary has in common, whatever its encoder and decoder are."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, overload

from torch import Tensor, nn

from restoreformer.archs.about import About
from restoreformer.archs.blocks import ResidualBlock, straight_through
from restoreformer.archs.vector_quantizer import VectorQuantizer
from restoreformer.errors import RestoreFormerError

# Far more than any has: a file's configuration is not to keep a machine busy.
MOST_LEVELS, MOST_BLOCKS = 12, 100


class AutoencoderOutput(NamedTuple):
    """What training needs of one pass.

    Attributes:
        image: the result, ``(n, 3, H, W)``, about [-1, 1].
        latents: Z_h or Z_d, ``(n, embed_dim, h, w)``.
        prior: Z_p, the nearest dictionary entries, same shape; gradients reach the dictionary only.
        indices: which entries, ``(n, h, w)``, int64.
    """

    image: Tensor
    latents: Tensor
    prior: Tensor
    indices: Tensor


class VQAutoencoder(nn.Module):
    """Encoder, dictionary, decoder: the pass of Fig. 2c and Fig. 3b.

    Args:
        config: all arguments of the network, kept in its checkpoints. Of them ``resolution`` is the side of
            the images that it is trained on, and each but the last of the levels of ``ch_mult`` halves it.

    Raises:
        RestoreFormerError: no levels, or levels without blocks.
    """

    # Registered name of the network of stage 1 whose file this one may start from.
    STAGE_1: ClassVar[str | None] = None
    # Beginnings of the names of tensors that such a file does not have.
    new_tensors: tuple[str, ...] = ()

    encoder: nn.Module
    decoder: nn.Module
    quantize: VectorQuantizer
    # Stored with the weights; no part of what the network computes.
    about: About = About()

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        if len(config["ch_mult"]) > MOST_LEVELS or config["num_res_blocks"] > MOST_BLOCKS:
            raise RestoreFormerError(
                f"Expected ch_mult of up to {MOST_LEVELS} levels and num_res_blocks of up to {MOST_BLOCKS}, got "
                f"{len(config['ch_mult'])} and {config['num_res_blocks']}."
            )
        if not config["ch_mult"] or config["num_res_blocks"] < 1:
            raise RestoreFormerError(
                f"Expected ch_mult of one level or more and num_res_blocks of at least 1, got {config['ch_mult']} and "
                f"{config['num_res_blocks']}."
            )
        self.config = config
        self.resolution: int = config["resolution"]
        self.size_multiple: int = 2 ** (len(config["ch_mult"]) - 1)

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, with_latents: Literal[True]) -> AutoencoderOutput: ...

    def forward(self, x: Tensor, with_latents: bool = False) -> Tensor | AutoencoderOutput:
        """Reconstruct or restore.

        Args:
            x: RGB images, ``(n, 3, H, W)``, [-1, 1]; H and W multiples of ``size_multiple`` (32 for the
                full networks).
            with_latents: return all of :class:`AutoencoderOutput` instead of the image alone.

        Raises:
            RestoreFormerError: images of another form.
        """
        if x.ndim != 4 or x.shape[1] != 3 or any(s % self.size_multiple or not s for s in x.shape[2:]):
            raise RestoreFormerError(
                f"Expected images of shape (n, 3, H, W) with H and W multiples of {self.size_multiple}, got "
                f"{tuple(x.shape)}: pad or resize them."
            )
        latents, queries = self._encode(x)
        prior, indices = self.quantize(latents)
        image = self._decode(latents, straight_through(prior, latents), queries)
        return AutoencoderOutput(image, latents, prior, indices) if with_latents else image

    def encode(self, x: Tensor) -> Tensor:
        """Z_h or Z_d of images ``(n, 3, H, W)``: ``(n, embed_dim, h, w)``."""
        return self._encode(x)[0]

    @abstractmethod
    def decode_prior(self, prior: Tensor) -> Tensor:
        """An image from entries ``(n, embed_dim, h, w)`` alone, which, where there is attention, ask themselves."""

    def set_checkpointing(self, on: bool) -> None:
        """Whether training computes what is inside residual blocks twice instead of keeping it."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.checkpointing = on

    def half_parts(self) -> list[nn.Module]:
        """The parts that half precision does not harm: the first third of the encoder's levels, where most of its
        operations are and whose errors the rest averages out, and all that comes after the dictionary."""
        levels = getattr(self.encoder, "down", [])
        return [*levels[: len(levels) // 3], self.decoder]

    @abstractmethod
    def is_attention(self, name: str) -> bool:
        """Whether the tensor of that name belongs to the layers that bring features and prior together."""

    @abstractmethod
    def _encode(self, x: Tensor) -> tuple[Tensor, Any]:
        """Latents, and whatever else of the encoder the decoder asks with."""

    @abstractmethod
    def _decode(self, latents: Tensor, prior: Tensor, queries: Any) -> Tensor:
        """The image; ``prior`` passes its gradient on to ``latents``."""
