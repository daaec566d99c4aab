"""Parameters and floating-point operations of every network, for a face of 512x512.

python benchmarks/count.py

An operation is an addition or a multiplication; convolutions, matrix products and attention are counted, by torch.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS, RestoreFormer, RestoreFormerPaper
from restoreformer.program import option_parser


def networks() -> Iterator[tuple[str, nn.Module]]:
    """Every network by its name in option files, one at a time."""
    recognition = {"encoder": "vgg19", "embed_dim": 512}
    yield "HQDictionaryPaper", HQDictionaryPaper()
    for fusion in FUSIONS:
        yield f"RestoreFormerPaper, {fusion}", RestoreFormerPaper(fusion)
    yield "HQDictionaryPaper, vgg19", HQDictionaryPaper(**recognition)
    yield "RestoreFormerPaper, mhca-p, vgg19", RestoreFormerPaper(**recognition)
    yield "HQDictionary", HQDictionary()
    for fusion in RELEASED_FUSIONS:
        yield f"RestoreFormer, {fusion}", RestoreFormer(fusion)


@torch.inference_mode()
def operations(net: nn.Module) -> int:
    """Of one pass of one face."""
    counter = FlopCounterMode(display=False)
    with counter:
        net(torch.zeros(1, 3, 512, 512))
    return counter.get_total_flops()


def main() -> None:
    option_parser(__doc__).parse_args()
    print("| network | parameters | of them fusion or decoder attention | GFLOPs |\n| --- | --- | --- | --- |")
    for name, net in networks():
        sizes = {n: p.numel() for n, p in net.named_parameters()}
        attention = sum(size for n, size in sizes.items() if net.is_attention(n))
        print(f"| {name} | {sum(sizes.values()):,} | {attention:,} | {operations(net.eval()) / 1e9:.1f} |", flush=True)


if __name__ == "__main__":
    main()
