"""Images that cannot be read on the third day of a training are skipped and counted, up to a share."""

import torch
from basicsr.utils import get_root_logger

from restoreformer.errors import RestoreFormerError


class BadRecords:
    """Which images of a dataset could not be read, counted over all worker processes.

    Args:
        total: number of images.
        max_share: share of them, 0 to below 1, that may be bad.

    Raises:
        RestoreFormerError: a share without sense.
    """

    def __init__(self, total: int, max_share: float) -> None:
        if isinstance(max_share, bool) or not isinstance(max_share, int | float) or not 0 <= max_share < 1:
            raise RestoreFormerError(f"Expected max_bad_share to be a number from 0 to below 1, got {max_share}.")
        self.max_share = max_share
        self._bad = torch.zeros(total, dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return int(self._bad.sum())

    def add(self, index: int, error: RestoreFormerError) -> None:
        """Note that an image is bad; its first time is logged.

        Raises:
            RestoreFormerError: too many are.
        """
        if self._bad[index]:
            return
        self._bad[index] = True
        count, total = len(self), len(self._bad)
        if count > self.max_share * total:
            raise RestoreFormerError(
                f"{error} Bad images so far: {count} of {total}, and max_bad_share allows {self.max_share:.2%}."
            ) from error
        get_root_logger().warning(f"Skipped a bad image, {count} of {total} so far: {error}")
