import pytest

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer


@pytest.fixture
def model(tmp_path, small_net):
    """The file of a small network with random weights."""
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    return tmp_path / "net.pth"
