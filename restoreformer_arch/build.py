"""A network from its file alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.nn import init
from torch.overrides import TorchFunctionMode

from restoreformer.archs.about import About
from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.checkpoint import Checkpoint, load_weights
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.options import check_arguments

NETWORKS: dict[str, type[VQAutoencoder]] = {
    n.__name__: n for n in (RestoreFormer, RestoreFormerPaper, HQDictionary, HQDictionaryPaper)
}
# Those that restore; files without a configuration are taken for a RestoreFormer.
RESTORERS = ("RestoreFormer", "RestoreFormerPaper")
DICTIONARIES = ("HQDictionary", "HQDictionaryPaper")


def build_from_checkpoint(
    checkpoint: Checkpoint,
    expected: Sequence[str] = RESTORERS,
    config: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> VQAutoencoder:
    """The network that a file holds.

    Args:
        checkpoint: the file as read.
        expected: registered names of the networks that it may hold.
        config: what to build it by; without it by the stored configuration, or else by :func:`infer_config`.
        source: where ``config`` comes from, if not from the file; what is wrong with it is laid to that.

    Raises:
        RestoreFormerError: the file holds a network that is not among ``expected``, or not this one.
    """
    config = config or checkpoint.config or infer_config(checkpoint)
    net = build_unfilled(config, expected, source or str(checkpoint.path))
    try:
        load_weights(net, checkpoint, take=True)
    except RestoreFormerError as error:
        if source is None:
            raise
        raise RestoreFormerError(f"Expected in {source} what fits {checkpoint.path}: {error}") from error
    return net.eval()


def build_unfilled(config: Mapping[str, Any], expected: Sequence[str], source: str) -> VQAutoencoder:
    """A network whose tensors hold nothing yet.

    Args:
        config: ``{"type": name, **arguments}``, and ``about`` (:class:`~restoreformer.archs.about.About`).
        expected: registered names of the networks that it may be.
        source: where ``config`` stands.

    Raises:
        RestoreFormerError: it is another network, or cannot be built.
    """
    kind = str(config.get("type"))
    if kind not in expected:
        raise RestoreFormerError(f"Expected {' or '.join(expected)} in {source}, got {kind}.")
    arguments = {k: v for k, v in config.items() if k not in ("type", "about")}
    check_arguments(f"config in {source}", arguments, NETWORKS[kind])
    about = About.read(config.get("about"), source)
    try:
        with _Unfilled():
            net = NETWORKS[kind](**arguments)
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        raise RestoreFormerError(f"Expected the configuration of {kind} in {source}: {error}") from error
    net.about = about
    return net


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
    """The configuration of a file that stores none, by its tensors.

    They do not tell what network it is, its number of heads, its fusion and its resolution. It is taken
    for a RestoreFormer as the authors trained theirs, at 512: with 8 heads, or, where the decoder attends
    at resolutions where the encoder does not, with RestoreFormer++'s 4.

    Raises:
        RestoreFormerError: the tensors are not those of this family of networks.
    """
    tensors = checkpoint.tensors
    try:
        ch = tensors["encoder.conv_in.weight"].shape[0]
        n_embed, embed_dim = tensors["quantize.embedding.weight"].shape
        levels = 1 + max(int(m[1]) for k in tensors if (m := re.match(r"encoder\.down\.(\d+)\.", k)))
        blocks = 1 + max(int(m[1]) for k in tensors if (m := re.match(r"encoder\.down\.0\.block\.(\d+)\.", k)))
        attended = {int(m[1]) for k in tensors if (m := re.match(r"encoder\.down\.(\d+)\.attn\.", k))}
        asking = {int(m[1]) for k in tensors if (m := re.match(r"decoder\.up\.(\d+)\.attn\.", k))}
        ch_mult = [tensors[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] // ch for i in range(levels)]
        z_channels = tensors["encoder.conv_out.weight"].shape[0]
        if max(attended | asking, default=0) >= levels:
            raise ValueError("attention beyond the last level")
    except (ValueError, LookupError, ArithmeticError) as error:
        raise RestoreFormerError(
            f"Expected a RestoreFormer in {checkpoint.path}, but its tensors are those of another network, such as "
            f"{next(iter(tensors))}."
        ) from error
    return {
        "type": RestoreFormer.__name__,
        "n_embed": n_embed,
        "embed_dim": embed_dim,
        "ch": ch,
        "ch_mult": ch_mult,
        "num_res_blocks": blocks,
        "attn_resolutions": sorted(512 // 2**i for i in attended),
        "resolution": 512,
        "z_channels": z_channels,
        "head_size": 4 if asking - attended else 8,
        "fusion": "mhca-p",
        "extra_attn_resolutions": sorted(512 // 2**i for i in asking - attended),
    }
