#!/bin/sh
# On a CPU, what PyTorch's group_norm puts out depends on the memory format: of images of mean 3000 and deviation 1 it is
# right where they are contiguous, and off by hundreds where the same images are channels_last, as they are in networks
# that are told to be fast. There the variance is taken as E x^2 - (E x)^2 in float32.
#
#     sh findings/torch_group_norm_channels_last.sh
#
# Installs pinned packages into a temporary folder, and runs them on valid input. Exit code 0: it is still so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import torch

print(f"torch {torch.__version__.split('+')[0]}")
generator = torch.Generator().manual_seed(0)
wrong = {}
for mean, deviation in ((3000.0, 1.0), (50.0, 0.01), (0.0, 1.0)):
    images = mean + deviation * torch.randn(16, 6, 8, 8, generator=generator)
    exact = torch.nn.functional.group_norm(images.double(), 1)
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        found = torch.nn.functional.group_norm(images.contiguous(memory_format=layout), 1)
        wrong[mean, name] = (found - exact).abs().max().item()
        print(f"N({mean:g}, {deviation:g}), {name:13} largest output {found.abs().max():8.4g}, "
              f"largest error {wrong[mean, name]:8.2g}")
assert all(wrong[mean, "contiguous"] < 1e-2 for mean in (3000, 50, 0)), "contiguous images are no longer right"
assert wrong[0, "channels_last"] < 1e-2 and wrong[3000, "channels_last"] > 100 and wrong[50, "channels_last"] > 1
print("as before: channels_last images far from 0 are not normalised")
PYTHON
