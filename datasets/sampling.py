"""Each training sample's own seed, so that neither workers nor processes have a say in what is drawn."""

from collections.abc import Iterator, Sized

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


class SeededSampler(EnlargedSampler):
    """BasicSR's sampler, in the same order, whose indices bring a seed: the training's, the epoch, the place in it.

    The training's seed is ``manual_seed``: what torch's generator was started with, which is BasicSR's first
    step, less the rank that BasicSR adds to it.
    """

    def __init__(self, dataset: Sized, num_replicas: int, rank: int, ratio: float = 1) -> None:
        super().__init__(dataset, num_replicas, rank, ratio)
        self.seed = (torch.initial_seed() - rank) % 2**64

    def __iter__(self) -> Iterator[int]:
        for turn, index in enumerate(super().__iter__()):
            yield SeededIndex.of(index, (self.seed, self.epoch, self.rank + turn * self.num_replicas))
