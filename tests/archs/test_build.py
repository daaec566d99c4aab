import pytest
import torch

from restoreformer.archs.build import build_from_checkpoint, infer_config
from restoreformer.archs.checkpoint import Checkpoint, network_config, read_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError


@pytest.mark.parametrize(
    "arguments, tensors, parameters",
    [({}, 405, 72_680_003), ({"extra_attn_resolutions": [32], "head_size": 4}, 441, 73_472_579)],
    ids=["RestoreFormer", "RestoreFormer++"],
)
def test_configuration_of_the_released_files_is_told_from_their_tensors(arguments, tensors, parameters, tmp_path):
    with torch.device("meta"):
        net = RestoreFormer(**arguments)
    state = dict(net.state_dict())
    assert (len(state), sum(v.numel() for v in state.values())) == (tensors, parameters)
    assert infer_config(Checkpoint(tmp_path, state, None)) == network_config(net)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"head_sise": 4}, "config in .*net.pth: head_sise is not an option: did you mean head_size"),
        ({"head_size": "4"}, "config in .*net.pth: head_size is '4': expected a whole number"),
        ({"ch_mult": 4}, "config in .*net.pth: ch_mult is 4: expected a list of whole numbers"),
        ({"fusion": None}, "config in .*net.pth: fusion is None: expected text"),
        ({"attn_resolutions": [17]}, "configuration of RestoreFormer in .*net.pth: Expected attn_resolutions among"),
    ],
)
def test_stored_arguments_that_do_not_fit(change, problem, tmp_path, small_net):
    net = RestoreFormer(**small_net)
    torch.save({"params": net.state_dict(), "config": network_config(net) | change}, tmp_path / "net.pth")
    with pytest.raises(RestoreFormerError, match=problem):
        build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))


def test_what_is_wrong_with_given_arguments_is_laid_to_their_source(tmp_path, small_net):
    checkpoint = Checkpoint(tmp_path, RestoreFormer(**small_net).state_dict(), None)
    for given, problem in (
        ({"head_size": "4"}, "config in mine.yml: head_size is '4'"),
        ({"n_embed": 64}, r"Expected in mine.yml what fits .*: Expected .* \(128, 64\) instead of \(64, 64\)"),
    ):
        config = {"type": "RestoreFormer", **small_net, **given}
        with pytest.raises(RestoreFormerError, match=problem):
            build_from_checkpoint(checkpoint, config=config, source="mine.yml")
