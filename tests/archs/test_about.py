import pytest
import torch

from restoreformer.archs.about import About
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import load_weights, network_config, read_checkpoint, save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError

ABOUT = About({"celeba": 11_000, "ffhq": 900}, 60_000, 128, "low", "Small.", {"faces_seen": 8000})


def test_it_is_stored_with_the_weights_and_read_again(tmp_path, small_net):
    net = RestoreFormer(**small_net)
    net.about = ABOUT
    save_checkpoint(tmp_path / "net.pth", net)
    checkpoint = read_checkpoint(tmp_path / "net.pth")
    again = build_from_checkpoint(checkpoint)
    assert again.about == ABOUT and again.config == net.config
    assert network_config(again)["about"] == {
        "trained_on": {"celeba": 11_000, "ffhq": 900},
        "faces_seen": 60_000,
        "face_size": 128,
        "color_fix": "low",
        "note": "Small.",
        "started_from": {"faces_seen": 8000},
    }
    load_weights(RestoreFormer(**small_net), checkpoint)


def test_networks_that_say_nothing_store_nothing(small_net):
    assert "about" not in network_config(RestoreFormer(**small_net))
    assert About.read(None, "x") == About() and not About().warning


@pytest.mark.parametrize(
    "trained_on, started_from, warning",
    [
        ({"a": 1}, {}, "trained on 1 face: expect nonsense on others"),
        ({"a": 30, "b": 2}, {}, "trained on 32 faces: expect nonsense"),
        ({"a": 32}, {"faces_seen": 10}, "fine-tuned on 32 faces: it may do worse on others"),
        ({"a": 900, "b": 100}, {}, ""),
    ],
)
def test_few_faces_are_warned_about(trained_on, started_from, warning):
    about = About(trained_on, started_from=started_from)
    assert "trained on 8 faces" in About({"a": 5000}, faces_seen=8).warning
    assert warning in about.warning and bool(about.warning) == bool(warning)


@pytest.mark.parametrize(
    "stored, message",
    [
        ([1], "a mapping as about in .*net.pth, got list"),
        ({"trained": {}}, "got 'trained'"),
        ({"trained_on": {"a": -1}}, "about: trained_on"),
        ({"trained_on": 5}, "about: trained_on"),
        ({"faces_seen": "many"}, "about: faces_seen"),
        ({"color_fix": "all"}, "about: color_fix"),
        ({"color_fix": ["low"]}, "about: color_fix"),
        ({"note": 1}, "one line of up to 200 characters as about: note"),
        ({"note": "a\nb"}, "about: note"),
        ({"note": "\x1b[31m"}, "about: note"),
        ({"started_from": 1}, "about: started_from"),
    ],
)
def test_a_damaged_one_is_an_error(stored, message, tmp_path, small_net):
    with pytest.raises(RestoreFormerError, match=message):
        About.read(stored, "net.pth")
    net = RestoreFormer(**small_net)
    config = {**network_config(net), "about": stored}
    torch.save({"params": net.state_dict(), "config": config}, tmp_path / "net.pth")
    with pytest.raises(RestoreFormerError, match=message):
        build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))
