"""The aligned face that everything here speaks of: FFHQ's crop, in a frame of 512 pixels."""

import numpy as np
from numpy.typing import NDArray

# Side of the frame that boxes, landmarks and sizes refer to.
FRAME = 512

# Facial components with boxes and discriminators of their own; left and right are the viewer's.
REGIONS = ("left_eye", "right_eye", "mouth")

# Where the five landmarks stand in an aligned face: viewer's left eye, right eye, nose, left and right
# corner of the mouth. The values are facexlib's average over FFHQ, which the released networks were
# trained and used with.
TEMPLATE: NDArray[np.float32] = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ],
    dtype=np.float32,
)
