import pytest
import torch

from restoreformer.metrics.dictionary_usage import count_entries, entries_in_use, perplexity


def test_by_hand():
    counts = count_entries(torch.tensor([[0, 2], [2, 2]]), 4)
    assert counts.tolist() == [1, 0, 3, 0]
    assert entries_in_use(counts).item() == 2
    # exp(-(1/4 ln 1/4 + 3/4 ln 3/4))
    assert perplexity(counts).item() == pytest.approx(1.754765, rel=1e-5)


def test_limits():
    assert perplexity(torch.full((8,), 5)).item() == pytest.approx(8)
    assert perplexity(torch.tensor([0, 9, 0])).item() == pytest.approx(1)
    assert perplexity(torch.zeros(3, dtype=torch.int64)).item() == 0
