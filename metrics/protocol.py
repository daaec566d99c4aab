"""What a reader must know of an evaluation to repeat it."""

import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from restoreformer.images import read
from restoreformer.metrics.collector import Collector
from restoreformer.metrics.evaluation import Evaluation
from restoreformer.metrics.face_sets import FaceSet
from restoreformer.metrics.frechet_distance import FrechetCollector

# What figures may depend on.
PACKAGES = ("restoreformer-basicsr", "basicsr", "torch", "torchvision", "lpips", "numpy", "opencv-python")


def protocol(
    sets: Sequence[tuple[str, str, FaceSet]],
    collectors: Sequence[Collector],
    left_out: Sequence[str],
    done: Sequence[Evaluation],
    device: str,
) -> dict[str, str]:
    """Sentences by heading.

    Args:
        sets: method, dataset and faces of each row.
        collectors: the metrics.
        left_out: names of metrics that were not measured for want of truths.
        done: what was measured of each row.
        device: where networks computed.
    """
    told = {
        "Measured": f"{date.today()}, Python {platform.python_version()}, on {device}",
        "Versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "Faces": _faces(sets),
        "Alignment": "taken as it is: FFHQ's crop is expected, nothing is moved or resized before it is measured",
        "Colours and range": "PSNR and SSIM on RGB, 0 to 255, whole images; networks see RGB in [-1, 1]",
    }
    for collector in collectors:
        if isinstance(collector, FrechetCollector) and collector.reference is not None:
            path, images = collector.reference.path, collector.reference.images
            count = "which does not tell how many images" if images is None else f"{images} images"
            told[f"{collector.label} against"] = f"{path}, {count}"
    missing = [f"no ground truth, and so no {', '.join(left_out)}"] if left_out else []
    incomplete = [f"{e.method} {e.dataset}".rstrip() for e in done if e.problem is not None]
    missing += [f"not measured for want of faces: {', '.join(incomplete)}"] if incomplete else []
    told["Missing"] = "; ".join(missing) or "nothing"
    return told


def _faces(sets: Sequence[tuple[str, str, FaceSet]]) -> str:
    """How many of which size, for each dataset, by its first set."""
    told: dict[str, str] = {}
    for _, dataset, faces in sets:
        if dataset not in told:
            height, width = read(next(iter(faces.files.values()))).shape[:2]
            told[dataset] = (f"{dataset}: " if dataset else "") + f"{len(faces.files)} of {width}x{height}"
    return "; ".join(told.values())
