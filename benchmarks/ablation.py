"""Table 4 in small: every option file of options/ablation, trained and tested at 64x64, in the table's layout.

python datasets/pack_lmdb.py --input FACES --output datasets/faces_64.lmdb --size 64
python datasets/find_components.py --input LARGER_FACES --output datasets/faces_64_boxes.pth
python benchmarks/ablation.py --features mobilenet_v2-b0353104.pth

Needs a thousand faces: the last 50 by name are held out. The option files stay as they are but for sizes, schedule and
what a machine without downloads does not have (see `shrink`). FID and IDD are taken on an ImageNet MobileNetV2's
features (--features, torchvision's file) instead of Inception's and ArcFace's: they compare these rows with each other,
and with no other table. Runs that are there already, under experiments/small64_*, are not run again.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import torch
import yaml
from basicsr.metrics.fid import calculate_fid
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from restoreformer.program import option_parser

ROOT = Path(__file__).parents[1]
STAGE_1 = {"learned": "options/train_dictionary.yml", "vgg19": "options/ablation/recognition_dictionary.yml"}
ROWS = {
    "exp1 none": "exp1_none",
    "exp2 MHSA, degraded": "exp2_mhsa_degraded",
    "exp3 MHSA, prior": "exp3_mhsa_prior",
    "exp4 SFT": "exp4_sft",
    "exp5 MHCA-D": "exp5_mhca_d",
    "ours MHCA-P": "ours_mhca_p",
    "recognition-oriented, MHCA-P": "recognition_restoreformer",
}
HELD_OUT = 50
# So that a full training of the same option file is left alone.
PREFIX = "small64_"
# About what the paper's ranges are to 512 pixels.
DEGRADATION = {"blur_sigma": [0.2, 1.3], "downsample": [1.0, 4.0], "noise": [0.0, 10.0], "jpeg": [60.0, 100.0]}
DEGRADATION |= {"blur_kernel_size": 9}


def shrink(opt: dict[str, Any], data: dict[str, Any], iterations: int, batch: int = 8) -> dict[str, Any]:
    """An option file of stage 1 or 2 at 64x64, otherwise as it is.

    Args:
        opt: the file's content, changed in place.
        data: ``dataroot_gt`` and ``component_path``, and ``num_images`` to train on.
        iterations: length of the training.
        batch: images of an iteration.

    Perceptual and identity loss are left out, as their networks' weights are not to be had everywhere;
    adversarial losses are weak, as nothing perceptual holds against them. A fixed encoder is random.
    """
    opt["name"] = f"{PREFIX}{opt['name']}"
    for key, path in opt["path"].items():
        if path and path.startswith("experiments/"):
            opt["path"][key] = path.replace("experiments/", f"experiments/{PREFIX}", 1)
    net, train, block = opt["network_g"], opt["train"], opt["datasets"]["train"]
    fixed = net.get("encoder") == "vgg19"
    net |= {"ch": 32, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "resolution": 64, "embed_dim": 128 if fixed else 64}
    opt["network_d"] |= {"ndf": 16, "n_layers": 2}
    block |= {k: v for k, v in data.items() if k in block or k != "component_path"}
    block |= {"gt_size": 64, "batch_size_per_gpu": batch, "num_worker_per_gpu": 0, "persistent_workers": False}
    if "degradation" in block:
        block["degradation"] = dict(DEGRADATION)
    if fixed and "pretrain_encoder" in opt["path"]:
        opt["path"]["pretrain_encoder"] = "none"
    for key in ("perceptual_opt", "identity_opt"):
        train.pop(key, None)
    train |= {"total_iter": iterations, "gan_start_iter": max(1, iterations // 2)}
    train["scheduler"] |= {"milestones": [iterations * 4 // 5], "gamma": 0.25}
    for key, rate in (("optim_g", 0.0005), ("optim_d", 0.0002), ("optim_component", 0.0005)):
        if key in train:
            train[key]["lr"] = rate
    for key, weight in (("gan_opt", 0.01), ("component_gan_opt", 0.005)):
        if key in train:
            train[key]["loss_weight"] = weight
    if "renewal_opt" in train:
        train["renewal_opt"] = {"start": "encoder", "interval": 20, "until": iterations * 3 // 4}
    opt["logger"] |= {"print_freq": 20, "save_checkpoint_freq": 10**6, "use_tb_logger": False}
    return opt


def test_options(opt: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """The test of what ``opt`` has trained, on the held-out faces."""
    name = opt["name"]
    metric = {"crop_border": 0, "test_y_channel": False}
    held_out = {"skip_images": data["num_images"], "num_images": HELD_OUT}
    return {
        **{key: opt[key] for key in ("model_type", "num_gpu", "manual_seed", "network_g")},
        "name": f"{name}_test",
        "datasets": {
            "test": {
                "name": "faces",
                "type": "BlindFaceDataset",
                "dataroot_gt": data["dataroot_gt"],
                "gt_size": 64,
                "degradation": dict(DEGRADATION),
                **held_out,
            }
        },
        "path": {"pretrain_network_g": f"experiments/{name}/models/net_g_latest.pth"},
        "val": {"save_img": True, "suffix": None, "metrics": {"psnr": {"type": "calculate_psnr", **metric}}},
    }


def run(script: str, opt: dict[str, Any]) -> str:
    """One of BasicSR's pipelines with these options; what it printed."""
    path = ROOT / "experiments" / f"{opt['name']}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(opt, sort_keys=False))
    command = [sys.executable, "-W", "ignore", f"basicsr/{script}.py", "-opt", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def train(file: str, data: dict[str, Any], iterations: int) -> dict[str, Any]:
    """Train an option file in small, unless its network is there."""
    opt = shrink(yaml.safe_load((ROOT / file).read_text()), data, iterations)
    if not (ROOT / "experiments" / opt["name"] / "models" / "net_g_latest.pth").exists():
        run("train", opt)
    return opt


class Features:
    """Vectors of faces by torchvision's MobileNetV2, pooled, 1280 numbers each."""

    def __init__(self, weights: Path) -> None:
        from torchvision.models import mobilenet_v2

        net = mobilenet_v2(weights=None)
        net.load_state_dict(torch.load(weights, weights_only=True))
        self.net = nn.Sequential(net.features, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    @torch.inference_mode()
    def __call__(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        vectors = []
        for image in images:
            x = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
            x = F.interpolate(((x - mean) / std)[None], (224, 224), mode="bilinear", align_corners=False)
            vectors.append(self.net(x)[0].numpy())
        return np.stack(vectors).astype(np.float64)


def frechet(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Distance of two sets of vectors as normal distributions, by BasicSR."""
    return float(calculate_fid(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)))


def mean_angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean angle between pairs of vectors, in radians."""
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(np.arccos(cosine.clip(-1, 1)).mean())


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", default="datasets/faces_64.lmdb", help="LMDB of 64x64 faces")
    parser.add_argument("--boxes", default="datasets/faces_64_boxes.pth", help="their eyes and mouths")
    parser.add_argument("--features", type=Path, required=True, help="mobilenet_v2-b0353104.pth")
    parser.add_argument("--iterations", type=int, default=200, help="of each training (default 200)")
    args = parser.parse_args()
    from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
    from restoreformer.image_source import ImageSource
    from restoreformer.images import to_image

    features = Features(args.features)
    source = ImageSource(args.faces)
    data = {"dataroot_gt": args.faces, "component_path": args.boxes, "num_images": len(source) - HELD_OUT}
    reference = features([source.read(name) for name in source.names[:-HELD_OUT]])
    names = source.names[-HELD_OUT:]
    truth = features([source.read(name) for name in names])
    starts = {kind: train(file, data, args.iterations)["name"] for kind, file in STAGE_1.items()}

    print("| | FID-like | IDD-like | PSNR |\n| --- | --- | --- | --- |")
    for row, file in ROWS.items():
        opt = train(f"options/ablation/{file}.yml", data, args.iterations)
        start = starts[opt["network_g"].get("encoder", "learned")]
        assert f"experiments/{start}/" in opt["path"]["pretrain_network_g"]
        test = test_options(opt, data)
        log = run("test", test)
        psnr = float(log.split("# psnr: ")[1].split()[0])
        folder = ROOT / "results" / test["name"] / "visualization" / "faces"
        restored = features([cv2.imread(str(folder / f"{name}_{test['name']}.png")) for name in names])
        cells = f"{frechet(restored, reference):.2f} | {mean_angle(restored, truth):.4f} | {psnr:.2f}"
        print(f"| {row} | {cells} |", flush=True)
    block = {**test["datasets"]["test"], "phase": "test"}
    degraded = [to_image(sample["lq"]) for sample in BlindFaceDataset(block)]  # type: ignore[attr-defined]
    vectors = features(degraded)
    psnr = np.mean([cv2.PSNR(a, source.read(n)) for a, n in zip(degraded, names, strict=True)])
    print(f"| input | {frechet(vectors, reference):.2f} | {mean_angle(vectors, truth):.4f} | {psnr:.2f} |")
    print(f"| truth | {frechet(truth, reference):.2f} | 0 | ∞ |")


if __name__ == "__main__":
    main()
