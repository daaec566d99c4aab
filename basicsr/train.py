"""BasicSR's stock training with RestoreFormer's plugin.

python basicsr/train.py -opt options/train_restoreformer.yml
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import restoreformer.plugin  # noqa: E402, F401  # isort: skip
from basicsr.train import train_pipeline  # noqa: E402

from restoreformer.errors import errors_in_one_line  # noqa: E402

if __name__ == "__main__":
    errors_in_one_line()
    train_pipeline(str(ROOT))
