"""The figures of the paper's Tables 1, 2 and 4, to stand beside one's own."""

import re
from typing import NamedTuple

INPUT, GT, OURS = "Input", "GT", "RestoreFormer"

# Table 1: CelebA-Test, 3,000 faces; FID against FFHQ.
CELEBA_TEST = "CelebA-Test"
TABLE_1_METRICS = ("FID", "PSNR", "SSIM", "LPIPS", "IDD")
TABLE_1: dict[str, tuple[float, ...]] = {
    INPUT: (132.69, 24.96, 0.6624, 0.4989, 0.9308),
    "DFDNet": (52.92, 24.10, 0.6092, 0.4478, 0.7581),
    "PSFRGAN": (43.88, 24.45, 0.6308, 0.4186, 0.7163),
    "Wan et al.": (70.21, 23.00, 0.6189, 0.4778, 0.8018),
    "PULSE": (67.75, 21.61, 0.6287, 0.4657, 1.2019),
    "GFP-GAN": (42.39, 24.46, 0.6684, 0.3551, 0.6034),
    OURS: (41.45, 24.42, 0.6404, 0.3650, 0.5650),
    GT: (43.43, float("inf"), 1.0, 0.0, 0.0),
}

# Table 2: FID on real faces; no GT there.
TABLE_2_SETS = ("LFW-Test", "CelebChild-Test", "WebPhoto-Test")
TABLE_2: dict[str, tuple[float, ...]] = {
    INPUT: (137.56, 144.42, 170.11),
    "DFDNet": (62.57, 111.55, 100.68),
    "PSFRGAN": (53.92, 106.61, 84.98),
    "Wan et al.": (73.19, 115.70, 100.40),
    "PULSE": (64.86, 102.74, 86.45),
    "GFP-GAN": (49.96, 111.78, 87.35),
    OURS: (47.75, 101.22, 77.33),
}


class Variant(NamedTuple):
    """A row of Table 4: what it fuses, how, and its figures."""

    sources: tuple[str, ...]
    method: str
    figures: tuple[float, float]


# Table 4: the ablation on CelebA-Test. options/ablation trains its rows.
ABLATION_SOURCES, ABLATION_METHODS = ("degraded", "prior"), ("none", "MHSA", "SFT", "MHCA-D", "MHCA-P")
TABLE_4_METRICS = ("FID", "IDD")
TABLE_4 = {
    "exp1": Variant(("degraded",), "none", (50.68, 0.6401)),
    "exp2": Variant(("degraded",), "MHSA", (47.39, 0.6284)),
    "exp3": Variant(("prior",), "MHSA", (45.83, 0.7662)),
    "exp4": Variant(("degraded", "prior"), "SFT", (41.47, 0.6702)),
    "exp5": Variant(("degraded", "prior"), "MHCA-D", (42.00, 0.5938)),
    "Ours": Variant(("degraded", "prior"), "MHCA-P", (41.45, 0.5650)),
}


def variant(method: str) -> Variant | None:
    """The row of Table 4 that a name begins with, such as that of ``Ours, seed 1``."""
    return TABLE_4.get(re.split(r"\W", method)[0])


# Faces that the paper measured.
COUNTS = {CELEBA_TEST: 3000, **dict(zip(TABLE_2_SETS, (1711, 180, 407), strict=True))}


def published(dataset: str, ablation: bool = False) -> dict[str, dict[str, float]]:
    """The paper's figures on a dataset: by method, by the metrics' labels; empty where it has none.

    Args:
        dataset: its name in the paper.
        ablation: those of Table 4 rather than of Tables 1 and 2.
    """
    if ablation:
        rows = TABLE_4 if dataset == CELEBA_TEST else {}
        return {name: dict(zip(TABLE_4_METRICS, row.figures, strict=True)) for name, row in rows.items()}
    if dataset == CELEBA_TEST:
        return {method: dict(zip(TABLE_1_METRICS, row, strict=True)) for method, row in TABLE_1.items()}
    if dataset in TABLE_2_SETS:
        column = TABLE_2_SETS.index(dataset)
        return {method: {"FID": row[column]} for method, row in TABLE_2.items()}
    return {}
