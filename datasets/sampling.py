"""Which image comes when, and each sample's own seed: neither workers nor processes have a say in what is drawn."""

import math
from collections.abc import Iterator, Sized
from typing import ClassVar, NamedTuple

import torch
from basicsr.data.data_sampler import EnlargedSampler


class SeededIndex(int):
    """The index of an image that brings the seed of this draw; to other datasets it is an index as any."""

    seed: tuple[int, ...]

    @classmethod
    def of(cls, index: int, seed: tuple[int, ...]) -> "SeededIndex":
        """An index with the seed of its draw, numbers from 0 on."""
        seeded = cls(index)
        seeded.seed = seed
        return seeded


class Place(NamedTuple):
    """Where a training is: in which epoch, from 0 on, after how many iterations since the first."""

    epoch: int
    iteration: int


class SeededSampler(EnlargedSampler):
    """BasicSR's sampler, in the same order, whose indices bring a seed: the training's, the epoch, the place in it.

    The training's seed is ``manual_seed``: what torch's generator was started with, which is BasicSR's first
    step, less the rank that BasicSR adds to it.

    An epoch has as many whole batches as BasicSR counts on: BasicSR's own sampler gives one less where the images
    do not fill the last one, which is then left out, and a training of many epochs ends before its last iteration. And
    a training that resumes goes on in the midst of its epoch.

    Attributes:
        batch_size: images that a process takes at once, set by :func:`restoreformer.pipelines.parse_options`.
        resumed_at: where the training was interrupted, set by :func:`restoreformer.resume.load_resume_state`.
    """

    batch_size: ClassVar[int] = 1
    resumed_at: ClassVar[Place | None] = None

    def __init__(self, dataset: Sized, num_replicas: int, rank: int, ratio: float = 1) -> None:
        super().__init__(dataset, num_replicas, rank, ratio)
        self.seed = (torch.initial_seed() - rank) % 2**64
        batches = math.ceil(len(dataset) * ratio / (num_replicas * self.batch_size))
        self.num_samples = batches * self.batch_size
        self.total_size = self.num_samples * num_replicas
        self.done: dict[int, int] = {}
        if self.resumed_at is not None:
            iterations = self.resumed_at.iteration - self.resumed_at.epoch * batches
            # Others are those of a training with other batches, or that stock BasicSR began an epoch of anew.
            if 0 <= iterations <= batches:
                self.done[self.resumed_at.epoch] = iterations * self.batch_size

    def __iter__(self) -> Iterator[int]:
        for turn, index in enumerate(super().__iter__()):
            if turn >= self.done.get(self.epoch, 0):
                yield SeededIndex.of(index, (self.seed, self.epoch, self.rank + turn * self.num_replicas))
