"""A network from its file alone."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch.nn import init
from torch.overrides import TorchFunctionMode

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.checkpoint import Checkpoint, load_weights
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError

NETWORKS: dict[str, type[VQAutoencoder]] = {
    n.__name__: n for n in (RestoreFormer, RestoreFormerPaper, HQDictionary, HQDictionaryPaper)
}
# Those that restore; files without a configuration are taken for the first.
RESTORERS = ("RestoreFormer", "RestoreFormerPaper")
DICTIONARIES = ("HQDictionary", "HQDictionaryPaper")


def build_from_checkpoint(checkpoint: Checkpoint, expected: Sequence[str] = RESTORERS) -> VQAutoencoder:
    """The network that a file holds, built by its stored configuration or else by its tensor shapes.

    Shapes do not tell the number of heads and the resolution: released files are taken to have 8 heads
    and 512, as their authors trained them.

    Raises:
        RestoreFormerError: the file holds a network that is not among ``expected``.
    """
    config = dict(checkpoint.config) if checkpoint.config is not None else infer_config(checkpoint)
    kind = config.pop("type", expected[0])
    if kind not in expected:
        raise RestoreFormerError(f"Expected {' or '.join(expected)} in {checkpoint.path}, got {kind}.")
    try:
        with _Unfilled():
            net = NETWORKS[kind](**config)
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        raise RestoreFormerError(f"Expected the configuration of {kind} in {checkpoint.path}: {error}") from error
    load_weights(net, checkpoint, take=True)
    return net.eval()


class _Unfilled(TorchFunctionMode):
    """New layers keep whatever is in their memory: random weights take longer to draw than a file to read. (torch's
    device ``meta`` takes longer yet, a second when it is used first.)"""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def infer_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The arguments of :class:`ReleasedAutoencoder` as far as tensor shapes tell them.

    Raises:
        RestoreFormerError: the tensors are not those of this family of networks.
    """
    tensors = checkpoint.tensors
    try:
        ch = tensors["encoder.conv_in.weight"].shape[0]
        n_embed, embed_dim = tensors["quantize.embedding.weight"].shape
        levels = 1 + max(int(m[1]) for k in tensors if (m := re.match(r"encoder\.down\.(\d+)\.", k)))
        blocks = 1 + max(int(m[1]) for k in tensors if (m := re.match(r"encoder\.down\.0\.block\.(\d+)\.", k)))
        attended = {int(m[1]) for k in tensors if (m := re.match(r"decoder\.up\.(\d+)\.attn\.", k))}
        ch_mult = [tensors[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] // ch for i in range(levels)]
        z_channels = tensors["encoder.conv_out.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise RestoreFormerError(
            f"Expected a RestoreFormer in {checkpoint.path}, but its tensors are those of another network, such as "
            f"{next(iter(tensors))}."
        ) from error
    if len(attended) > 1:
        raise RestoreFormerError(
            f"Expected cross-attention at the lowest resolution only in {checkpoint.path}, got it at "
            f"{len(attended)}, as RestoreFormer++ has: that network is not supported."
        )
    return {
        "n_embed": n_embed,
        "embed_dim": embed_dim,
        "ch": ch,
        "ch_mult": ch_mult,
        "num_res_blocks": blocks,
        "attn_resolutions": sorted(512 // 2**i for i in attended),
        "resolution": 512,
        "z_channels": z_channels,
        "head_size": 8,
    }
