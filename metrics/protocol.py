"""What a reader must know of an evaluation to repeat it."""

import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from typing import Any

import cv2

import restoreformer
from restoreformer.metrics.collector import Collector
from restoreformer.metrics.evaluation import Evaluation
from restoreformer.metrics.face_sets import listed
from restoreformer.metrics.frechet_distance import FrechetCollector
from restoreformer.metrics.published import COUNTS

# What figures may depend on, besides this project and OpenCV, which comes in packages of several names.
PACKAGES = ("basicsr", "torch", "torchvision", "lpips", "numpy", "scipy")


def protocol(
    metrics: Sequence[tuple[Mapping[str, Any], Collector]],
    left_out: Sequence[str],
    done: Sequence[Evaluation],
    device: str,
) -> dict[str, str]:
    """Sentences by heading.

    Args:
        metrics: the options of each, and what collected by them.
        left_out: names of metrics that were not measured for want of truths.
        done: what was measured of each row.
        device: where networks computed.
    """
    versions = {"restoreformer-basicsr": restoreformer.__version__, "opencv": cv2.__version__}
    versions |= {name: version(name) for name in PACKAGES}
    told = {
        "Measured": f"{date.today()}, Python {platform.python_version()}, on {device}",
        "Versions": ", ".join(" ".join(pair) for pair in versions.items()),
        "Faces": _faces(done),
        "Alignment": "taken as it is: FFHQ's crop is expected, and none but the networks move or resize anything",
        "Colours and range": "images of 8 bits: BasicSR's functions see BGR in [0, 255], networks RGB in [-1, 1]",
    }
    told |= {collector.label: _metric(options, collector) for options, collector in metrics}
    missing = [f"no ground truth, and so no {', '.join(left_out)}"] if left_out else []
    incomplete = [e.row for e in done if e.problem is not None]
    missing += [f"not measured for want of faces: {', '.join(incomplete)}"] if incomplete else []
    missing += [f"no images in {e.row}: {listed(e.ignored)}" for e in done if e.ignored]
    for dataset, count in COUNTS.items():
        found = {sum(e.sizes.values()) for e in done if e.dataset == dataset and e.problem is None}
        if found - {count}:
            missing.append(f"{dataset} has {count:,} faces in the paper, here {max(found):,}")
    told["Missing"] = "; ".join(missing) or "nothing"
    return told


def _metric(options: Mapping[str, Any], collector: Collector) -> str:
    """Its options as they were given, and what it compares with."""
    told = ", ".join(f"{key} {value}" for key, value in options.items() if key not in ("type", "reference"))
    told = f"{options['type']}{': ' if told else ''}{told}"
    if not isinstance(collector, FrechetCollector) or collector.reference is None:
        return told
    images = collector.reference.images
    count = "which does not tell how many images" if images is None else f"{images} images"
    return f"{told}; against {collector.reference.path}, {count}"


def _faces(done: Sequence[Evaluation]) -> str:
    """How many of which size, for each dataset; by method, where they differ."""
    told = []
    for dataset in dict.fromkeys(e.dataset for e in done):
        methods: dict[str, list[str]] = {}
        for e in done:
            if e.dataset == dataset and e.problem is None:
                sizes = " and ".join(f"{count} of {size}" for size, count in e.sizes.items())
                methods.setdefault(sizes, []).append(e.method)
        one = len(methods) == 1
        texts = [sizes if one else f"{sizes} ({', '.join(names)})" for sizes, names in methods.items()]
        told.append((f"{dataset}: " if dataset else "") + (", ".join(texts) or "no complete set"))
    return "; ".join(told)
