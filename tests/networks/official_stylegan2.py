"""What the official StyleGAN2-ADA code computes from weights and inputs that are sines and cosines.

NVlabs/stylegan2-ada-pytorch at commit d72cc7d041b42ec8e806021a205ed9349f87c6a4, run in float32 with PyTorch 2.13.0 on a
CPU (AMD EPYC), so by its reference operations; 7 significant digits. Images are [b, c, h, w], kernels [out, in, h, w].
Where nothing else is said, inputs and weights are those of number 0, and images that come out are `thinned`.
"""

import numpy as np


def weights(shape, k=0):
    """sin(1.3 i + 0.3 + k) for i = 0, 1, ... in C order, in float32."""
    return np.sin(1.3 * np.arange(np.prod(shape, dtype=int)) + 0.3 + k).reshape(shape).astype(np.float32)


def inputs(shape, k=0):
    """cos(0.9 i + 0.2 + k) for i = 0, 1, ... in C order, in float32."""
    return np.cos(0.9 * np.arange(np.prod(shape, dtype=int)) + 0.2 + k).reshape(shape).astype(np.float32)


def thinned(images):
    """Rows 0, 3, 6 and columns 1, 4, 7."""
    return images[..., ::3, 1::3]


# Networks of 8 x 8 images of 2 channels: 2 channels at 8 x 8, 3 at 4 x 4, latents of 4, two mapping layers.
GENERATOR = {
    "const": (3, 4, 4),
    "mapping.dense.0.weight": (4, 4),
    "mapping.dense.0.bias": (4,),
    "mapping.dense.1.weight": (4, 4),
    "mapping.dense.1.bias": (4,),
    "blocks.4.conv.strength": (),
    "blocks.4.conv.weight": (3, 3, 3, 3),
    "blocks.4.conv.bias": (3,),
    "blocks.4.conv.style.weight": (3, 4),
    "blocks.4.conv.style.bias": (3,),
    "blocks.4.rgb.weight": (2, 3, 1, 1),
    "blocks.4.rgb.bias": (2,),
    "blocks.4.rgb.style.weight": (3, 4),
    "blocks.4.rgb.style.bias": (3,),
    "blocks.8.up.strength": (),
    "blocks.8.up.weight": (2, 3, 3, 3),
    "blocks.8.up.bias": (2,),
    "blocks.8.up.style.weight": (3, 4),
    "blocks.8.up.style.bias": (3,),
    "blocks.8.conv.strength": (),
    "blocks.8.conv.weight": (2, 2, 3, 3),
    "blocks.8.conv.bias": (2,),
    "blocks.8.conv.style.weight": (2, 4),
    "blocks.8.conv.style.bias": (2,),
    "blocks.8.rgb.weight": (2, 2, 1, 1),
    "blocks.8.rgb.bias": (2,),
    "blocks.8.rgb.style.weight": (2, 4),
    "blocks.8.rgb.style.bias": (2,),
}
CRITIC = {
    "from_rgb.weight": (2, 2, 1, 1),
    "from_rgb.bias": (2,),
    "blocks.8.conv.weight": (2, 2, 3, 3),
    "blocks.8.conv.bias": (2,),
    "blocks.8.down.weight": (3, 2, 3, 3),
    "blocks.8.down.bias": (3,),
    "conv.weight": (3, 4, 3, 3),  # of three channels and the deviation
    "conv.bias": (3,),
    "dense.weight": (3, 48),  # of [channel, row, column]
    "dense.bias": (3,),
    "out.weight": (1, 3),
    "out.bias": (1,),
}
SKIP = {"blocks.8.skip.weight": (3, 2, 1, 1)}

# Mapping networks with classes: of the generator, z before the class; of the critic, eight layers of three.
CLASSES = 3
GENERATOR_OF_CLASSES = {
    "mapping.embed.weight": (4, 3),
    "mapping.embed.bias": (4,),
    "mapping.dense.0.weight": (4, 8),
    "mapping.dense.0.bias": (4,),
    "mapping.dense.1.weight": (4, 4),
    "mapping.dense.1.bias": (4,),
}
CRITIC_OF_CLASSES = (
    CRITIC
    | SKIP
    | {
        "out.weight": (3, 3),
        "out.bias": (3,),
        "mapping.embed.weight": (3, 3),
        "mapping.embed.bias": (3,),
        **{f"mapping.dense.{i}.{name}": (3, 3)[:n] for i in range(8) for name, n in (("weight", 2), ("bias", 1))},
    }
)


def parameters(shapes):
    """{name: weights(shape, k)} for the k-th name, from 0; 100 times that in mapping layers, whose factor is 0.01."""
    scales = {name: 100 if name.startswith("mapping.dense") else 1 for name in shapes}
    return {name: scales[name] * weights(shape, k) for k, (name, shape) in enumerate(shapes.items())}


NUMBERS = {
    # the filter's first two rows
    "taps": [[0.015625, 0.046875, 0.046875, 0.015625], [0.046875, 0.140625, 0.140625, 0.046875]],
    # of an image [1, 1, 4, 4]
    "upsample2d": [
        [[[0.6363367, -0.1490333, -0.546164], [-0.3919757, 0.2241887, 0.402974], [0.2051442, 0.4848623, 0.09179164]]]
    ],
    # of the same image, not thinned
    "downsample2d": [[[[0.09058879, -0.01700863], [0.08653846, 0.0480517]]]],
    # [1, 2, 4, 4] by a kernel [3, 2, 3, 3] upside down, as its layers call it
    "conv_up": [
        [
            [
                [0.4735085, 0.5478178, -0.2766038],
                [0.05505741, -1.796152, -0.3876763],
                [-0.8874993, 0.8731866, 0.6432799],
            ],
            [[-0.4539639, 0.3884876, 0.4269096], [1.569969, 0.9259437, -0.8681449], [-1.038445, -1.530853, 0.3843336]],
            [
                [-0.3271163, -0.6730958, 0.1389356],
                [-0.5613348, 1.497557, 0.6676322],
                [1.222373, -0.3795231, -0.7672182],
            ],
        ]
    ],
    # [1, 2, 4, 4] by the same kernel, not thinned
    "conv_down": [
        [
            [[-0.0502679, -0.06261497], [-0.02660188, 0.04174337]],
            [[0.001688056, 0.124314], [0.1302347, 0.01731479]],
            [[0.04972357, 0.02252671], [-0.01539564, -0.04732699]],
        ]
    ],
    # [1, 2, 4, 4] by a kernel [3, 2, 1, 1], not thinned
    "conv_1x1_down": [
        [
            [[-0.02333738, -0.09051399], [0.04018034, -0.07702652]],
            [[0.06536503, 0.0704714], [0.007968187, 0.09104129]],
            [[-0.08868373, -0.03025831], [-0.05383604, -0.078998]],
        ]
    ],
    # [2, 2, 4, 4] by a kernel [3, 2, 3, 3] and styles inputs((2, 2), 1)
    "modulated": [
        [[[-1.828988], [-0.03149387]], [[0.1533632], [-1.767287]], [[1.777439], [0.6363161]]],
        [[[-0.1494469], [-0.421007]], [[0.4707055], [0.08654051]], [[-0.008232871], [0.3972897]]],
    ],
    # of the second of them, up, the kernel upside down
    "modulated_up": [
        [[0.1973654, 0.09849148, -0.134226], [-0.2290907, -0.6328073, 0.03690003], [-0.103664, 0.4493411, 0.09099642]],
        [
            [-0.07207866, 0.2010241, 0.09594197],
            [0.5156121, 0.05019224, -0.3121088],
            [-0.4732386, -0.3567068, 0.2284633],
        ],
        [[-0.1755577, -0.1680065, 0.103477], [0.05724366, 0.6242584, 0.06848537], [0.2655944, -0.3343521, -0.1697195]],
    ],
    # a kernel [3, 2, 1, 1] without demodulation
    "to_rgb": [
        [[[0.5423307], [-0.1139799]], [[-0.3912069], [0.2409287]], [[0.1281109], [-0.2989182]]],
        [[[-0.7053542], [0.2012724]], [[0.588052], [0.3115937]], [[-0.302436], [-0.7352747]]],
    ],
    # the channels that groups of 4 add to [8, 4, 2, 2], one pixel of each: 1
    "deviation_1": [
        [0.6643615],
        [0.6906779],
        [0.6643615],
        [0.6906779],
        [0.6643615],
        [0.6906779],
        [0.6643615],
        [0.6906779],
    ],
    # the channels that groups of 4 add to [8, 4, 2, 2], one pixel of each: 2
    "deviation_2": [
        [0.6691372, 0.6595859],
        [0.6951633, 0.6861925],
        [0.6691372, 0.6595859],
        [0.6951633, 0.6861925],
        [0.6691372, 0.6595859],
        [0.6951633, 0.6861925],
        [0.6691372, 0.6595859],
        [0.6951633, 0.6861925],
    ],
    # [2, 4] by 100 x weights((3, 4)) plus 100 x weights((3,), 1), learning-rate factor 0.01, leaky
    "dense": [[2.416077, 0.09615361, -0.5238147], [0.7179747, 1.668312, 0.5521938]],
    # w of z [2, 4]
    "mapping": [[-0.4452865, 1.158996, 3.671366, 1.952316], [-0.003278114, -0.234761, -0.1449176, 0.1659616]],
    # the same z, classes 2 and 0
    "mapping_of_classes": [
        [-0.03338076, 2.487143, 2.320308, -0.1761798],
        [-0.01288154, 1.330736, 1.134221, -0.1671792],
    ],
    # images [2, 2, 8, 8] of the w of z, without noise
    "generator": [
        [
            [[-2.054592, -2.38934, -1.736263], [-3.278485, -2.771126, -2.078864], [-3.280506, -3.330622, -1.993947]],
            [[1.960829, 1.716801, 1.562216], [2.468956, 2.556661, 1.465907], [2.101496, 2.631463, 1.831627]],
        ],
        [
            [[-1.316226, -1.444229, -0.956957], [-1.702804, -1.834605, -1.448652], [-1.840523, -1.728897, -1.339089]],
            [[1.639904, 1.7625, 1.664911], [1.959435, 1.804046, 1.832245], [1.903483, 2.012969, 1.786331]],
        ],
    ],
    # the second image of w = inputs((2, 4, 4), 1), [b, layers, d], with noise inputs((r, r), k) in layer k, r = 4, 8, 8
    "generator_of_layers": [
        [[-0.5379561, -1.98722, -1.118414], [-2.876771, -0.9397836, -1.437946], [-0.9519001, -2.119142, -1.643437]],
        [[1.004166, 2.96584, 2.203873], [3.952491, 1.326507, 2.194852], [1.293139, 2.786128, 2.522925]],
    ],
    # of the w of z, in the direction inputs((2, 2, 8, 8), 3) / 8, without noise
    "path_lengths": [0.02419233, 0.040431],
    # residual, groups of 2: logits of images 5 x inputs((4, 2, 8, 8))
    "critic": [-0.8850228, -0.87758, -0.9493807, -0.8855172],
    # its |grad|^2 for each image
    "squared_slopes": [0.0002464288, 0.0002475931, 0.0002138344, 0.0002484576],
    # the same, activations clamped at 1
    "critic_clamped": [-0.897822, -0.9043816, -0.9020535, -0.8978362],
    # the same, plain
    "critic_plain": [-0.9121557, -0.9086189, -0.9305985, -0.9112918],
    # residual, classes 2, 0, 1, 0
    "critic_of_classes": [0.4013644, 0.3875348, 0.5088972, 0.4043331],
}
