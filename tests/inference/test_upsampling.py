import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs.rrdbnet_arch import RRDBNet
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from spandrel.architectures.DnCNN.__arch.network_dncnn import DnCNN

from restoreformer.errors import RestoreFormerError
from restoreformer.inference import upsampling
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.upsampling import Upsampler, enlarged

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Real-ESRGAN's compact network, small: each pixel shown four times and a texture of the net's own."""
    torch.manual_seed(0)
    net = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2)
    for p in net.parameters():
        p.data *= 2
    path = tmp_path_factory.mktemp("upsampler") / "x2.pth"
    torch.save({"params": net.state_dict()}, path)
    return path


def test_enlarged_by_interpolation(astronaut):
    same = enlarged(astronaut, 1)
    assert (same == astronaut).all() and not np.shares_memory(same, astronaut)
    assert enlarged(astronaut[:, :301], 1.5).shape == (768, 452, 3)
    deep = enlarged(astronaut.astype(np.uint16) * np.uint16(257), 2)
    assert np.abs(np.rint(deep / 257) - enlarged(astronaut, 2)).max() <= 1


def test_tiles_are_the_whole(network, astronaut, monkeypatch):
    """Their margins hold all that this network looks at, which without them would show."""
    photo = astronaut[:150, :170]
    whole = Upsampler(network, CPU, tile=0)(photo, 2)
    assert whole.shape == (300, 340, 3)
    for tile in (40, 64, 150, 400):
        assert np.abs(Upsampler(network, CPU, tile=tile)(photo, 2).astype(int) - whole).max() <= 1
    monkeypatch.setattr(upsampling, "MARGIN", 0)
    assert np.abs(Upsampler(network, CPU, tile=64)(photo, 2).astype(int) - whole).max() > 20


def test_tiles_begin_where_a_network_that_groups_pixels_begins_a_group(tmp_path, astronaut):
    """Real-ESRGAN's for a factor of 2 takes pixels in pairs."""
    net = RRDBNet(3, 3, scale=2, num_feat=8, num_block=1, num_grow_ch=32)
    for p in net.parameters():
        p.data *= 3
    torch.save({"params": net.state_dict()}, tmp_path / "x2.pth")
    photo = astronaut[100:151, 200:273]
    whole = Upsampler(tmp_path / "x2.pth", CPU, tile=0)(photo, 2)
    for tile in (21, 33):
        assert np.abs(Upsampler(tmp_path / "x2.pth", CPU, tile=tile)(photo, 2).astype(int) - whole).max() <= 1


def test_every_kind_of_photo(network, astronaut):
    upsampler = Upsampler(network, CPU, tile=64)
    photo = np.ascontiguousarray(astronaut[:90, :80])
    colour = upsampler(photo, 2)
    alpha = np.full((90, 80, 1), 9, np.uint8)
    result = upsampler(np.concatenate([photo, alpha], 2), 2)
    assert (result[:, :, :3] == colour).all() and (result[:, :, 3] == 9).all()
    deep = upsampler(photo.astype(np.uint16) * np.uint16(257), 2)
    assert deep.dtype == np.uint16 and np.abs(np.rint(deep / 257) - colour).max() <= 1
    grey = upsampler(photo[:, :, 0].copy(), 2)
    assert grey.shape == (180, 160)
    # Grey that is stored in colours stays grey.
    assert (upsampler(np.repeat(photo[:, :, :1], 3, 2), 2) == grey[:, :, None]).all()


def test_other_sizes_than_the_networks(network, astronaut):
    upsampler = Upsampler(network, CPU)
    photo = np.ascontiguousarray(astronaut[:80, :80])
    for upscale, side in ((1, 80), (1.5, 120), (4, 320)):
        result = upsampler(photo, upscale)
        assert result.shape == (side, side, 3)
        assert np.abs(cv2.resize(result, (80, 80), interpolation=cv2.INTER_AREA).astype(int) - photo).mean() < 40


def test_the_background_is_its_and_the_face_is_ours(network, model, astronaut):
    restorer = FaceRestorer(model, "centerface", "cpu", background=network, tile=128)
    background = Upsampler(network, CPU, tile=128)(astronaut, 2)
    image = restorer.restore(astronaut, upscale=2).image
    changed = (image != background).any(2)
    assert changed[200:300, 400:500].mean() > 0.9 and not changed[600:].any()
    assert (restorer.restore(astronaut, upscale=2, strength=0).image == background).all()


def test_what_is_no_upsampler_is_told(tmp_path, monkeypatch, network):
    with pytest.raises(RestoreFormerError, match="Expected realesrgan or the file of a super-resolution network"):
        Upsampler(tmp_path / "nowhere.pth", CPU)
    (tmp_path / "text.pth").write_text("none")
    with pytest.raises(RestoreFormerError, match="Expected a network that spandrel loads in .*, could not"):
        Upsampler(tmp_path / "text.pth", CPU)
    torch.save(DnCNN(in_nc=3, out_nc=3, nc=8, nb=17).state_dict(), tmp_path / "denoiser.pth")
    with pytest.raises(RestoreFormerError, match="Expected a super-resolution network .* got DnCNN"):
        Upsampler(tmp_path / "denoiser.pth", CPU)
    with pytest.raises(RestoreFormerError, match="Expected a tile of 0 or more pixels, got -1"):
        Upsampler(network, CPU, tile=-1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("restoreformer.pretrained._download", lambda name, row, folder: tmp_path / "text.pth")
    with pytest.raises(RestoreFormerError, match=r"Expected RealESRGAN_x2plus\.pth with SHA-256 49fafd45"):
        Upsampler("realesrgan", CPU)
