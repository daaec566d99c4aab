"""Training and validation samples of both stages."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from restoreformer.datasets.bad_records import BadRecords
from restoreformer.datasets.components import find_boxes, locations, read_boxes
from restoreformer.datasets.degradation import build_degradation, file_generator
from restoreformer.datasets.sampling import SeededIndex
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import REGIONS
from restoreformer.image_source import ImageSource
from restoreformer.images import Image, squared, to_tensor
from restoreformer.parallel import use_one_thread


class _Images(TypedDict):
    lq: Tensor
    gt: Tensor
    lq_path: str
    gt_path: str


class FaceSample(_Images, total=False):
    """One item: images ``(3, size, size)``, RGB, [-1, 1]; boxes ``[x1, y1, x2, y2]`` in pixels, float32, where there is
    a ``component_path``."""

    loc_left_eye: Tensor
    loc_right_eye: Tensor
    loc_mouth: Tensor


@dataclass(frozen=True)
class BlindFaceOptions:
    """What the option file says of the samples; BasicSR's loader reads the rest of the block.

    Attributes:
        dataroot_gt: folder or ``.lmdb`` of aligned high-quality faces.
        gt_size: side of the samples; larger square images are reduced to it.
        use_hflip: flip every second training image left to right.
        degradation: a preset and ranges of Eq. 19, scaled to ``gt_size`` or not (``degradation.py``); without it
            ``lq`` is ``gt``, as stage 1 wants.
        component_path: boxes of eyes and mouth; images without an entry are left out.
        eye_enlarge_ratio: factor on the eye boxes (released code).
        validation_seed: changes the degradations that validation fixes for each file name.
        num_images: take only this many, first by name.
        skip_images: leave out this many, first by name, before ``num_images`` counts.
        max_bad_share: in training, skip images that cannot be read until they are more than this share.
    """

    dataroot_gt: str
    gt_size: int = 512
    use_hflip: bool = False
    degradation: Mapping[str, Any] | None = None
    component_path: str | None = None
    eye_enlarge_ratio: float = 1.4
    validation_seed: int = 0
    num_images: int | None = None
    skip_images: int = 0
    max_bad_share: float = 0.01


@DATASET_REGISTRY.register()
class BlindFaceDataset(Dataset[FaceSample]):
    """Faces, degraded on the fly (Eq. 19), with boxes of eyes and mouth.

    In training, flip and degradation depend on ``manual_seed``, the epoch and the place in it
    (``sampling.py``), not on the number of workers; under any other sampler they are drawn from torch's
    generator. In validation nothing is flipped, and the degradation of a file depends on its name alone.

    Args:
        opt: the option file's block: the fields of :class:`BlindFaceOptions` and BasicSR's own.

    Raises:
        RestoreFormerError: images or boxes missing; on reading, an image that is unreadable, smaller
            than ``gt_size`` or not square, in training only once such are more than ``max_bad_share``.
    """

    SCHEMA: ClassVar[type] = BlindFaceOptions
    OPTIONS: ClassVar[tuple[str, ...]] = tuple(f.name for f in fields(BlindFaceOptions))

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.options = BlindFaceOptions(**{k: opt[k] for k in self.OPTIONS if k in opt})
        self.is_train = opt["phase"] == "train"
        self.source = ImageSource(
            self.options.dataroot_gt,
            hint="Pack your images with python datasets/pack_lmdb.py, or correct dataroot_gt.",
        )
        block = self.options.degradation
        self.degrade = None if block is None else build_degradation(block, self.options.gt_size)
        stop = None if self.options.num_images is None else self.options.skip_images + self.options.num_images
        self.names = self.source.names[self.options.skip_images : stop]
        self.boxes = self._boxes()
        if not self.names:
            raise RestoreFormerError(
                f"Expected images left of the {len(self.source)} in {self.source.root} after skip_images: "
                f"{self.options.skip_images}, num_images: {self.options.num_images} and the boxes; none are."
            )

        batch = opt.get("batch_size_per_gpu", 1) if self.is_train else 1
        if len(self.names) * opt.get("dataset_enlarge_ratio", 1) < batch:
            raise RestoreFormerError(
                f"Expected at least one batch of {batch} images in {self.source.root}, got {len(self.names)}: lower "
                "batch_size_per_gpu or raise dataset_enlarge_ratio."
            )

        self.bad_records = BadRecords(len(self.names), self.options.max_bad_share) if self.is_train else None

    def _boxes(self) -> NDArray[np.float64] | None:
        """``(n, 3, 3)``: the boxes of each image. One array, because what workers read of Python's objects
        is copied into each of them."""
        if self.options.component_path is None:
            return None
        found = read_boxes(self.options.component_path)
        boxes = {name: entry for name in self.names if (entry := find_boxes(found, name)) is not None}
        if missing := [name for name in self.names if name not in boxes]:
            get_root_logger().warning(
                f"{len(missing)} of {len(self.names)} images have no boxes in {self.options.component_path} and are "
                f"left out, the first of them {missing[0]}."
            )
        self.names = list(boxes)
        return np.array([[entry[region] for region in REGIONS] for entry in boxes.values()])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> FaceSample:
        _settle(os.getpid())
        rng = self._generator(index)
        if self.bad_records is None:
            return self._sample(index, rng)
        while True:
            try:
                return self._sample(index, rng)
            except RestoreFormerError as error:
                self.bad_records.add(index, error)
                index = int(rng.integers(len(self)))

    def _sample(self, index: int, rng: np.random.Generator) -> FaceSample:
        name = self.names[index]
        gt = self._read(name)
        flipped = self.is_train and self.options.use_hflip and rng.random() < 0.5
        if flipped:
            gt = np.ascontiguousarray(gt[:, ::-1])
        gt_tensor = to_tensor(gt)
        lq_tensor = gt_tensor if self.degrade is None else to_tensor(self.degrade(gt, rng, exact=not self.is_train))
        sample: FaceSample = {
            "lq": lq_tensor,
            "gt": gt_tensor,
            # BasicSR names results after these, less a suffix.
            "lq_path": f"{name}.png",
            "gt_path": f"{name}.png",
        }
        if self.boxes is not None:
            boxes = {region: box.tolist() for region, box in zip(REGIONS, self.boxes[index], strict=True)}
            corners = locations(boxes, self.options.gt_size, self.options.eye_enlarge_ratio, flipped)
            for region, corner in corners.items():
                sample[f"loc_{region}"] = torch.from_numpy(corner)  # type: ignore[literal-required]
        return sample

    def _generator(self, index: int) -> np.random.Generator:
        if not self.is_train:
            return file_generator(self.names[index], self.options.validation_seed)
        if isinstance(index, SeededIndex):
            return np.random.default_rng(index.seed)
        return np.random.default_rng(int(torch.randint(2**62, ())))

    def _read(self, name: str) -> Image:
        return squared(self.source.read(name), self.options.gt_size, f"under {name} in {self.source.root}")


@cache
def _settle(process: int) -> None:
    """Once in each process; a fork inherits what the cache holds of its parent's."""
    if get_worker_info() is not None:
        use_one_thread()
