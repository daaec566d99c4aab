"""Small configurations, faces that need no download, processes that start at once, and a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from forks import Forks
from skimage import data

from restoreformer.datasets.components import write_boxes
from restoreformer.datasets.pack_lmdb import pack
from restoreformer.images import Image

# 16x16 latents of a 64x64 image, as the golden values' small networks have.
SMALL_NET = {
    "n_embed": 128,
    "embed_dim": 64,
    "z_channels": 64,
    "ch": 32,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 1,
    "attn_resolutions": [16],
    "resolution": 64,
    "head_size": 4,
}
BOXES = {"left_eye": [193.0, 240.0, 30.0], "right_eye": [319.0, 240.0, 30.0], "mouth": [257.0, 371.0, 56.0]}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Playwright's, of the Chromium that is installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium has no sandbox for root, and may hang where it looks for a GPU that is not there.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def small_net() -> dict[str, Any]:
    return dict(SMALL_NET)


@pytest.fixture(scope="session")
def astronaut() -> Image:
    """A real photo of 512x512 with one face, BGR."""
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="session")
def face(astronaut: Image) -> Image:
    """The face of that photo, cut out square, BGR 160x160."""
    return np.ascontiguousarray(astronaut[30:190, 145:305])


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory, face: Image) -> Path:
    """Four images of 64x64, named 00000 to 00003."""
    folder = tmp_path_factory.mktemp("faces")
    for i in range(4):
        image = np.roll(face, 5 * i, axis=1)
        cv2.imwrite(str(folder / f"{i:05d}.png"), cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA))
    return folder


@pytest.fixture(scope="session")
def faces_lmdb(tmp_path_factory: pytest.TempPathFactory, faces_folder: Path) -> Path:
    path = tmp_path_factory.mktemp("lmdb") / "faces.lmdb"
    assert not any(o.left_out for o in pack(faces_folder, path, 64))
    return path


@pytest.fixture(scope="session")
def boxes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("boxes") / "boxes.pth"
    write_boxes(path, {f"{i:05d}": BOXES for i in range(4)})
    return path
