"""The table of contents: importing this module enters everything into BasicSR's registries and pipelines."""

import restoreformer.archs.registered_arch
import restoreformer.datasets.blind_face_dataset
import restoreformer.losses.arcface_identity_loss
import restoreformer.losses.dictionary_loss
import restoreformer.losses.gram_style_loss
import restoreformer.losses.lpips_loss
import restoreformer.losses.vgg_perceptual_loss
import restoreformer.metrics.frechet_distance
import restoreformer.metrics.identity_distance
import restoreformer.metrics.lpips_distance
import restoreformer.models.hq_dictionary_model
import restoreformer.models.restoreformer_model  # noqa: F401
from restoreformer import pipelines

pipelines.install()
