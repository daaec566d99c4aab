"""The table of contents: importing this module enters everything into BasicSR's registries."""

import basicsr.test
import basicsr.train
import basicsr.utils.options

import restoreformer.archs.registered_arch
import restoreformer.datasets.blind_face_dataset
import restoreformer.losses.arcface_identity_loss
import restoreformer.losses.dictionary_loss
import restoreformer.losses.gram_style_loss
import restoreformer.losses.lpips_loss
import restoreformer.losses.vgg_perceptual_loss
import restoreformer.models.hq_dictionary_model
import restoreformer.models.restoreformer_model  # noqa: F401
from restoreformer.datasets.sampling import SeededSampler
from restoreformer.distributed import init_dist
from restoreformer.options import install_check
from restoreformer.resume import load_resume_state

basicsr.utils.options.init_dist = init_dist
install_check(basicsr.utils.options, basicsr.train, basicsr.test)
basicsr.train.load_resume_state = load_resume_state
basicsr.train.EnlargedSampler = SeededSampler
