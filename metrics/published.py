"""The figures of the paper's Tables 1 and 2, to stand beside one's own."""

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


# Faces that the paper measured.
COUNTS = {CELEBA_TEST: 3000, **dict(zip(TABLE_2_SETS, (1711, 180, 407), strict=True))}


def published(dataset: str) -> dict[str, dict[str, float]]:
    """The paper's figures on a dataset: by method, by the metrics' labels; empty where it has none."""
    if dataset == CELEBA_TEST:
        return {method: dict(zip(TABLE_1_METRICS, row, strict=True)) for method, row in TABLE_1.items()}
    if dataset in TABLE_2_SETS:
        column = TABLE_2_SETS.index(dataset)
        return {method: {"FID": row[column]} for method, row in TABLE_2.items()}
    return {}
