import pytest
import torch
from torch import nn

from restoreformer.errors import RestoreFormerError
from restoreformer.models.dictionary_renewal import DictionaryRenewal


@pytest.fixture
def embedding():
    return nn.Embedding(4, 2)


def adam_after_a_step(embedding):
    optimizer = torch.optim.Adam(embedding.parameters(), lr=0.1)
    embedding.weight.sum().backward()
    optimizer.step()
    return optimizer


def test_unused_entries_are_redrawn_and_forgotten_by_adam(embedding):
    optimizer = adam_after_a_step(embedding)
    before = embedding.weight.detach().clone()
    renewal = DictionaryRenewal(embedding, interval=2)
    latents = torch.full((1, 2, 1, 2), 7.0)
    renewal.after_step(1, latents, torch.tensor([[[0, 0]]]), optimizer)
    assert torch.equal(embedding.weight, before)
    renewal.after_step(2, latents, torch.tensor([[[2, 2]]]), optimizer)
    # Entries 0 and 2 were chosen within the interval, 1 and 3 were not.
    assert torch.equal(embedding.weight[[0, 2]], before[[0, 2]])
    assert embedding.weight[[1, 3]].tolist() == [[7.0, 7.0], [7.0, 7.0]]
    average = optimizer.state[embedding.weight]["exp_avg"]
    assert average[[1, 3]].abs().sum() == 0 and (average[[0, 2]] != 0).all()
    assert renewal.counts.sum() == 0


def test_a_training_resumed_within_an_interval_redraws_only_after_a_whole_one(embedding):
    before = embedding.weight.detach().clone()
    renewal = DictionaryRenewal(embedding, interval=4)
    optimizer, latents = adam_after_a_step(nn.Embedding(1, 1)), torch.full((1, 2, 1, 1), 7.0)
    for iteration in (3, 4, 5, 6, 7):
        renewal.after_step(iteration, latents, torch.tensor([[[0]]]), optimizer)
        assert torch.equal(embedding.weight, before)
    renewal.after_step(8, latents, torch.tensor([[[0]]]), optimizer)
    assert torch.equal(embedding.weight[0], before[0]) and (embedding.weight[1:] == 7).all()


def test_never_and_no_longer(embedding):
    before = embedding.weight.detach().clone()
    optimizer = adam_after_a_step(nn.Embedding(1, 1))
    DictionaryRenewal(embedding).after_step(10, torch.ones(1, 2, 1, 1), torch.tensor([[[0]]]), optimizer)
    ended = DictionaryRenewal(embedding, interval=2, until=8)
    ended.after_step(10, torch.ones(1, 2, 1, 1), torch.tensor([[[0]]]), optimizer)
    assert torch.equal(embedding.weight, before)


def test_begin_takes_all_entries_from_the_features(embedding):
    latents = torch.randn(1, 2, 3, 3)
    DictionaryRenewal(embedding, start="encoder").begin(latents)
    distances = torch.cdist(embedding.weight, latents.flatten(2)[0].T).min(1).values
    assert (distances > 0).all() and distances.max() < 0.1


def test_new_entries_start_a_new_average(embedding):
    average = nn.Embedding(4, 2)
    before = average.weight.detach().clone()
    renewal = DictionaryRenewal(embedding, average, interval=1)
    renewal.after_step(1, torch.full((1, 2, 1, 1), 7.0), torch.tensor([[[0]]]), adam_after_a_step(nn.Embedding(1, 1)))
    assert torch.equal(average.weight[1:], embedding.weight[1:]) and torch.equal(average.weight[0], before[0])


@pytest.mark.parametrize("options", [{"start": "random"}, {"interval": -1}, {"until": -1}])
def test_errors(embedding, options):
    with pytest.raises(RestoreFormerError, match="Expected renewal_opt"):
        DictionaryRenewal(embedding, **options)
