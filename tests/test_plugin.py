import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What option files may name; a change here is a change for users.
REGISTERED = {
    "ARCH_REGISTRY": [
        "ArcFaceResNet18",
        "ComponentDiscriminator",
        "HQDictionary",
        "HQDictionaryPaper",
        "PatchDiscriminator",
        "RestoreFormer",
        "RestoreFormerPaper",
    ],
    "DATASET_REGISTRY": ["BlindFaceDataset"],
    "LOSS_REGISTRY": [
        "ArcFaceIdentityLoss",
        "CommitmentLoss",
        "DictionaryLoss",
        "GramStyleLoss",
        "LPIPSLoss",
        "EdgeVGG16PerceptualLoss",
        "VGG19PerceptualLoss",
    ],
    "METRIC_REGISTRY": ["calculate_fid", "calculate_idd", "calculate_lpips"],
    "MODEL_REGISTRY": ["HQDictionaryModel", "RestoreFormerModel"],
}


@pytest.fixture
def python(forks):
    def run(code):
        done = forks.run("-c", code, PYTHONPATH=ROOT / "src")
        assert done.returncode == 0, done.stderr

    return run


def test_importing_the_package_is_light():
    code = "import sys, restoreformer; assert not {'torch', 'basicsr', 'numpy', 'cv2'} & sys.modules.keys()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_all_is_registered_beside_gfpgan(python):
    """In one process with the other plugin, whichever comes first."""
    checks = "from basicsr.utils import registry as r\n"
    for name, ours in REGISTERED.items():
        checks += f"have = {{k for k, v in r.{name} if v.__module__.startswith('restoreformer')}}\n"
        checks += f"assert have == set({ours}), have\n"
    checks += "assert 'FFHQDegradationDataset' in r.DATASET_REGISTRY"
    for order in ("restoreformer.plugin, gfpgan", "restoreformer, gfpgan, restoreformer.plugin"):
        python(f"import {order}\n{checks}")


def test_torchvisions_removed_module_is_there_only_for_want_of_the_real_one(python):
    python(
        "import restoreformer\n"
        "from torchvision.transforms import functional_tensor as t\n"
        "from torchvision.transforms import functional as f\n"
        "assert t.rgb_to_grayscale is f.rgb_to_grayscale\n"
    )
    python(
        "import sys, types, restoreformer\n"
        "real = sys.modules['torchvision.transforms.functional_tensor'] = types.ModuleType('real')\n"
        "from torchvision.transforms import functional_tensor\n"
        "assert functional_tensor is real\n"
    )


def test_other_peoples_packages_are_not_shadowed(python):
    """With the repository's root first on the path, folders of these names must lose."""
    python(
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import restoreformer.plugin, basicsr.archs\n"
        "assert 'site-packages' in basicsr.__file__"
    )
    assert not list(ROOT.glob("*/__init__.py"))
