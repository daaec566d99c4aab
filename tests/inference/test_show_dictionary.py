import subprocess
import sys

import cv2
import pytest
import torch

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.inference.show_dictionary import decode_entries

PAPER = {"n_embed": 70, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}


@pytest.mark.parametrize("net", [HQDictionaryPaper(**PAPER), RestoreFormerPaper(heads=4, **PAPER)])
def test_each_entry_is_decoded_by_itself(net):
    net.eval()
    patches = decode_entries(net)
    assert patches.shape == (70, 3, 4, 4)
    entry = net.quantize.embedding.weight[66].view(1, 64, 1, 1).expand(1, 64, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(patches[66], net.decode_prior(entry)[0, :, 4:8, 4:8], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cls", [HQDictionary, RestoreFormer])
def test_the_released_structure(cls, small_net):
    assert decode_entries(cls(**small_net).eval()).shape == (128, 3, 4, 4)


def test_as_a_command(tmp_path, small_net, forks):
    save_checkpoint(tmp_path / "net.pth", HQDictionary(**small_net))
    save_checkpoint(tmp_path / "d.pth", PatchDiscriminator())
    command = [sys.executable, "-W", "ignore", "inference/show_dictionary.py", "-o", tmp_path / "entries.png"]
    done = subprocess.run([*command, "--model", tmp_path / "net.pth"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "entries.png")).shape == (44, 48, 3)
    done = forks.run(*command[3:], "--model", tmp_path / "d.pth")
    assert done.returncode == 1 and "got PatchDiscriminator" in done.stderr and "Trace" not in done.stderr
