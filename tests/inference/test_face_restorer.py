import cv2
import numpy as np
import pytest
import torch

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.images import to_tensor
from restoreformer.inference.face_restorer import FaceRestorer


@pytest.fixture
def model(tmp_path, small_net):
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    return tmp_path / "net.pth"


@pytest.fixture
def restorer(model):
    return FaceRestorer(model, "centerface", device="cpu")


def test_a_photo(restorer, astronaut):
    before = astronaut.copy()
    result = restorer.restore(astronaut)
    assert (astronaut == before).all()
    assert result.image.shape == astronaut.shape and result.image.dtype == np.uint8
    (face,) = result.faces
    assert face.crop.shape == face.restored.shape == (64, 64, 3)
    changed = (result.image != astronaut).any(2)
    assert changed[100:150, 200:250].mean() > 0.9 and not changed[300:].any() and not changed[:, :100].any()


def test_the_network_sees_rgb_and_its_answer_is_kept(restorer, face):
    aligned = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    (restored,) = restorer.restore_aligned([aligned])
    with torch.no_grad():
        expected = restorer.net(to_tensor(aligned)[None])[0].clamp(-1, 1)
    torch.testing.assert_close(to_tensor(restored), expected, atol=1 / 127.5, rtol=0)


def test_the_papers_network_too(tmp_path, face):
    sizes = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 32}
    save_checkpoint(tmp_path / "paper.pth", RestoreFormerPaper(heads=4, **sizes))
    restorer = FaceRestorer(tmp_path / "paper.pth", None, "cpu")
    assert isinstance(restorer.net, RestoreFormerPaper) and not restorer.net.training
    assert restorer.restore_aligned([face])[0].shape == (32, 32, 3)


def test_aligned_faces_of_any_size(restorer, face):
    assert [f.shape for f in restorer.restore_aligned([face, face[:40, :40].copy()])] == [(64, 64, 3)] * 2
    assert restorer.restore_aligned([]) == []


def test_a_photo_without_a_face(restorer):
    grey = np.full((100, 120, 3), 128, np.uint8)
    result = restorer.restore(grey)
    assert result.faces == [] and (result.image == grey).all()


def test_errors(model, restorer, tmp_path, small_net, astronaut):
    with pytest.raises(RestoreFormerError, match=r"Expected a BGR image \(h, w, 3\) of uint8, got \(512, 512\)"):
        restorer.restore(astronaut[:, :, 0])
    with pytest.raises(RestoreFormerError, match="Expected a detector for whole photos"):
        FaceRestorer(model, None, "cpu").restore(astronaut)
    save_checkpoint(tmp_path / "dictionary.pth", HQDictionary(**small_net))
    with pytest.raises(RestoreFormerError, match="Expected RestoreFormer or .* in .*, got HQDictionary"):
        FaceRestorer(tmp_path / "dictionary.pth", None)
