import pytest
import torch
from torch.utils.data import DataLoader

from restoreformer.datasets.sampling import Place, SeededSampler

IMAGES = range(10)


@pytest.fixture
def sampler(monkeypatch):
    """Of ten images in batches of four, three of which BasicSR counts on."""

    def make(resumed_at=None, rank=0, ranks=1, batch_size=4):
        monkeypatch.setattr(SeededSampler, "batch_size", batch_size)
        monkeypatch.setattr(SeededSampler, "resumed_at", resumed_at)
        torch.manual_seed(5 + rank)
        return SeededSampler(IMAGES, ranks, rank)

    return make


def epoch(sampler, number):
    sampler.set_epoch(number)
    return [(int(i), i.seed) for i in sampler]


def test_an_epoch_is_whole_batches_of_every_image(sampler):
    drawn = epoch(sampler(), 0)
    assert len(sampler()) == len(drawn) == 12 and {i for i, _ in drawn} == set(IMAGES)
    assert len(DataLoader(IMAGES, batch_size=4, sampler=sampler(), drop_last=True)) == 3
    # Of two processes with a batch of two each.
    shares = [epoch(sampler(rank=r, ranks=2, batch_size=2), 0) for r in range(2)]
    assert [len(s) for s in shares] == [6, 6]
    assert sorted(shares[0] + shares[1], key=lambda s: s[1]) == drawn


@pytest.mark.parametrize("iteration", [6, 7, 8])
def test_an_interrupted_epoch_goes_on_where_it_was(sampler, iteration):
    resumed = sampler(Place(2, iteration))
    assert epoch(resumed, 2) == epoch(sampler(), 2)[4 * (iteration - 6) :]
    assert epoch(resumed, 3) == epoch(sampler(), 3)
    # Once more from its beginning, as a loader does that is made twice.
    assert epoch(resumed, 2) == epoch(sampler(), 2)[4 * (iteration - 6) :]


def test_after_its_last_iteration_nothing_is_left_of_an_epoch(sampler):
    resumed = sampler(Place(2, 9))
    assert epoch(resumed, 2) == []
    assert epoch(resumed, 3) == epoch(sampler(), 3)


@pytest.mark.parametrize("iteration", [5, 10])
def test_an_epoch_of_another_length_begins_anew(sampler, iteration):
    assert epoch(sampler(Place(2, iteration)), 2) == epoch(sampler(), 2)
