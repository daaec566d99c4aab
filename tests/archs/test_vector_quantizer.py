import torch

from restoreformer.archs.vector_quantizer import VectorQuantizer


def test_nearest_entry_by_hand():
    quantizer = VectorQuantizer(3, 2)
    quantizer.embedding.weight.data = torch.tensor([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]])
    # Positions, row by row: (0.4, 0.4) is nearer to 0, (0.6, 0.6) to 1, (3, 0) to 2, (-5, -5) to 0.
    latents = torch.tensor([[[[0.4, 0.6], [3.0, -5.0]], [[0.4, 0.6], [0.0, -5.0]]]])
    prior, indices = quantizer(latents)
    assert indices.tolist() == [[[0, 1], [2, 0]]]
    assert prior.tolist() == [[[[0.0, 1.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]]


def test_gradients_reach_the_chosen_entries_only():
    quantizer = VectorQuantizer(3, 2)
    quantizer.embedding.weight.data = torch.tensor([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]])
    latents = torch.full((1, 2, 1, 2), 0.9, requires_grad=True)
    prior, _ = quantizer(latents)
    prior.sum().backward()
    assert latents.grad is None
    assert quantizer.embedding.weight.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]


def test_agrees_with_brute_force_in_float64():
    quantizer = VectorQuantizer(50, 8)
    quantizer.embedding.weight.data.normal_()
    latents = torch.randn(2, 8, 5, 7)
    vectors = latents.permute(0, 2, 3, 1).reshape(-1, 8).double()
    expected = torch.cdist(vectors, quantizer.embedding.weight.double()).argmin(1).view(2, 5, 7)
    assert torch.equal(quantizer.nearest(latents), expected)


def test_half_precision_does_not_change_the_choice():
    quantizer = VectorQuantizer(2, 2)
    # In bfloat16 both entries would be at the same distance.
    quantizer.embedding.weight.data = torch.tensor([[100.0, 0.0], [100.1, 0.0]])
    latents = torch.tensor([100.08, 0.0]).view(1, 2, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert quantizer.nearest(latents).item() == 1


def test_start_is_uniform():
    weight = VectorQuantizer(1000, 16).embedding.weight
    assert weight.abs().max() <= 1e-3
    assert abs(weight.std().item() - 2e-3 / 12**0.5) < 2e-5
