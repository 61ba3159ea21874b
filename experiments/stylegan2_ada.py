"""StyleGAN2 with adaptive augmentation, for a few thousand pictures (Karras et al. 2020, arXiv:2006.06676).

python -m gan_jax.main --config=experiments/stylegan2_ada.py[:DATA]
python -m gan_jax.main --config=experiments/stylegan2_ada.py:folder --config.data.dir=PATH --config.data.image_size=64

`stylegan2.py`, and all that the critic sees augmented by `bgc`, from p = 0 on; p follows the signs of logits of reals.
Without: `--config.augment=none --config.augment_target=0`. With p = 0.3: `--config.augment_target=0
--config.augment_probability=0.3`.
"""

import pathlib
import runpy


def get_config(data="digits"):
    """The configuration for a data set."""
    config = runpy.run_path(str(pathlib.Path(__file__).with_name("stylegan2.py")))["get_config"](data)
    config.augment, config.augment_target = "bgc", 0.6
    return config
