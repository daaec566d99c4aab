from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader
from lmdb_probe import Maps
from torch.utils.data import DataLoader

from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.datasets.sampling import SeededSampler
from restoreformer.errors import RestoreFormerError, error_line

DEGRADATION = {"blur_sigma": [0.2, 2.0], "downsample": [1.0, 4.0], "noise": [0.0, 20.0], "jpeg": [60.0, 100.0]}


def make(root, phase="train", **options):
    return BlindFaceDataset({"name": "faces", "phase": phase, "dataroot_gt": str(root), "gt_size": 64, **options})


def test_images_are_rgb_in_minus_one_to_one(faces_folder, faces_lmdb):
    sample = make(faces_lmdb)[0]
    expected = cv2.imread(str(faces_folder / "00000.png"))[:, :, ::-1].transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(sample["gt"].numpy(), expected, atol=1e-6)
    assert sample["lq"] is sample["gt"] and sample["gt"].dtype == torch.float32
    assert sample["lq_path"] == "00000.png"


def test_training_degrades_and_flips_anew(faces_lmdb):
    dataset = make(faces_lmdb, use_hflip=True, degradation=DEGRADATION)
    plain = make(faces_lmdb)[0]["gt"]
    samples = [dataset[0] for _ in range(30)]
    flips = [torch.equal(s["gt"], plain.flip(2)) for s in samples]
    assert all(f or torch.equal(s["gt"], plain) for f, s in zip(flips, samples, strict=True))
    assert 5 < sum(flips) < 25
    assert len({s["lq"].numpy().tobytes() for s in samples}) == 30


def test_same_seed_same_samples(faces_lmdb):
    dataset = make(faces_lmdb, use_hflip=True, degradation=DEGRADATION)

    def draw(seed):
        torch.manual_seed(seed)
        return [s["lq"] for s in DataLoader(dataset, num_workers=1)]

    assert all(torch.equal(a, b) for a, b in zip(draw(1), draw(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(draw(1), draw(2), strict=True))


def test_epochs_differ_though_basicsr_seeds_workers_alike(faces_lmdb):
    options = {"degradation": DEGRADATION, "num_worker_per_gpu": 1, "batch_size_per_gpu": 1}
    dataset = make(faces_lmdb, **options)
    loader = build_dataloader(
        dataset, {"phase": "train", **options}, num_gpu=0, sampler=torch.utils.data.SequentialSampler(dataset), seed=0
    )
    first, second = ([s["lq"] for s in loader] for _ in range(2))
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_validation_is_the_same_in_every_run(faces_lmdb):
    torch.manual_seed(1)
    first = [s["lq"] for s in make(faces_lmdb, "val", degradation=DEGRADATION)]
    torch.manual_seed(2)
    second = make(faces_lmdb, "val", degradation=DEGRADATION, use_hflip=True)
    assert all(torch.equal(a, second[i]["lq"]) for i, a in reversed(list(enumerate(first))))
    # By name, not by position.
    alone = make(faces_lmdb, "val", degradation=DEGRADATION, skip_images=2, num_images=1)
    assert len(alone) == 1 and torch.equal(alone[0]["lq"], first[2])
    other = make(faces_lmdb, "val", degradation=DEGRADATION, validation_seed=1)
    assert not torch.equal(other[0]["lq"], first[0])


def test_boxes_follow_the_flip_and_stay_as_they_were(faces_lmdb, boxes_file):
    dataset = make(faces_lmdb, use_hflip=True, component_path=str(boxes_file))
    plain = make(faces_lmdb, component_path=str(boxes_file))[0]
    for _ in range(20):
        sample = dataset[0]
        if torch.equal(sample["gt"], plain["gt"]):
            assert torch.equal(sample["loc_left_eye"], plain["loc_left_eye"])
        else:
            x1, _, x2, _ = plain["loc_right_eye"]
            assert sample["loc_left_eye"][[0, 2]].tolist() == pytest.approx([63 - x2.item(), 63 - x1.item()])


def test_images_without_boxes_are_left_out(tmp_path, faces_lmdb, boxes_file):
    boxes = torch.load(boxes_file, weights_only=True)
    del boxes["00001"]
    torch.save(boxes, tmp_path / "some.pth")
    assert make(faces_lmdb, component_path=str(tmp_path / "some.pth")).names == ["00000", "00002", "00003"]
    torch.save({"x": boxes["00000"]}, tmp_path / "others.pth")
    with pytest.raises(RestoreFormerError, match="Expected images left of the 4"):
        make(faces_lmdb, component_path=str(tmp_path / "others.pth"))


def test_larger_images_are_reduced_and_others_refused(faces_lmdb):
    assert make(faces_lmdb, gt_size=32)[0]["gt"].shape == (3, 32, 32)
    with pytest.raises(RestoreFormerError, match=r"at least 128x128 under 00000 in .*, got 64x64"):
        make(faces_lmdb, gt_size=128)[0]


def test_less_than_a_batch_is_refused(faces_lmdb):
    """The loader drops what is left over: the training would end before its first iteration."""
    with pytest.raises(RestoreFormerError, match=r"at least one batch of 16 images in .*, got 4"):
        make(faces_lmdb, batch_size_per_gpu=16, dataset_enlarge_ratio=3)
    assert len(make(faces_lmdb, batch_size_per_gpu=16, dataset_enlarge_ratio=4)) == 4


def with_bad(tmp_path, faces_folder, good, bad):
    """A folder of so many good images and so many that are none."""
    for i in range(good + bad):
        data = (faces_folder / f"{i % 4:05d}.png").read_bytes() if i < good else b"broken"
        (tmp_path / f"{i:05d}.png").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_bad_record_is_named_from_a_worker_in_one_line(phase, tmp_path, faces_folder):
    folder = with_bad(tmp_path, faces_folder, 1, 1)
    with pytest.raises(RestoreFormerError) as caught:
        list(DataLoader(make(folder, phase, max_bad_share=0.6 * (phase == "val")), num_workers=1))
    line = f"Expected an image under 00001 in {folder}, got 6 bytes that are none."
    told = " Bad images so far: 1 of 2, and max_bad_share allows 0.00%."
    assert error_line(caught.value) == line + told * (phase == "train")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_records_are_skipped_and_counted_up_to_a_share(workers, tmp_path, faces_folder, caplog):
    folder = with_bad(tmp_path, faces_folder, 8, 2)
    dataset = make(folder, max_bad_share=0.2)
    for _ in range(2):
        samples = list(DataLoader(dataset, num_workers=workers))
        assert len(samples) == 10 and {s["gt_path"][0] for s in samples} <= {f"{i:05d}.png" for i in range(8)}
    assert len(dataset.bad_records) == 2
    with pytest.raises(RestoreFormerError, match=r"Bad images so far: 2 of 10, and max_bad_share allows 10.00%"):
        list(DataLoader(make(folder, max_bad_share=0.1), num_workers=workers))


@pytest.mark.parametrize("share", [-0.1, 1.0, "0.1", True])
def test_shares_without_sense(share, faces_lmdb):
    with pytest.raises(RestoreFormerError, match="max_bad_share to be a number from 0 to below 1"):
        make(faces_lmdb, max_bad_share=share)


def epoch_of(dataset, workers, epoch=3, rank=0, ranks=1, seed=7, context=None):
    """An epoch's samples by name, as BasicSR's training loads them."""
    torch.manual_seed(seed + rank)
    sampler = SeededSampler(dataset, ranks, rank, ratio=2)
    sampler.set_epoch(epoch)
    torch.randn(workers + 1)  # what else a training draws has no say
    loader = DataLoader(dataset, sampler=sampler, num_workers=workers, multiprocessing_context=context)
    return [(s["gt_path"][0], s["lq"].numpy().tobytes()) for s in loader]


def test_samples_depend_on_seed_and_epoch_alone(faces_lmdb):
    dataset = make(faces_lmdb, use_hflip=True, degradation=DEGRADATION)
    alone = epoch_of(dataset, 0)
    assert len(alone) == 8 == len(set(alone))
    assert epoch_of(dataset, 1) == epoch_of(dataset, 2) == alone
    assert epoch_of(dataset, 1, context="spawn") == alone
    assert not set(epoch_of(dataset, 0, epoch=4)) & set(alone)
    assert not set(epoch_of(dataset, 0, seed=8)) & set(alone)
    # Two processes share the epoch out: the same draws, every second one each.
    assert [epoch_of(dataset, 1, rank=r, ranks=2) for r in range(2)] == [alone[0::2], alone[1::2]]


def test_persistent_workers_learn_of_the_next_epoch(faces_lmdb):
    dataset = make(faces_lmdb, degradation=DEGRADATION)
    torch.manual_seed(7)
    sampler = SeededSampler(dataset, 1, 0)
    loader = DataLoader(dataset, sampler=sampler, num_workers=2, persistent_workers=True)
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        epochs.append({s["lq"].numpy().tobytes() for s in loader})
    assert not epochs[0] & epochs[1]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_an_lmdb_is_opened_by_the_worker_that_reads_it(context, faces_lmdb):
    dataset = make(faces_lmdb)
    assert "faces.lmdb/data.mdb" not in Path("/proc/self/maps").read_text()
    mapped = next(iter(DataLoader(Maps(dataset), batch_size=None, num_workers=1, multiprocessing_context=context)))
    assert mapped == [1, False]
    assert "faces.lmdb/data.mdb" not in Path("/proc/self/maps").read_text()
