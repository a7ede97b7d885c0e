"""Rows of the table of bad inputs: convolution, pooling, padding, resizing and their like."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

IMAGE, SHAPES = (1, 2, 4, 4), {1: (1, 2, 4), 2: (1, 2, 4, 4), 3: (1, 2, 4, 4, 4)}


def function(name, why, error, says, *shape, **options):
    """nn.functional.name(ones(*shape), **options) is refused."""
    return Refusal(
        f"nn.functional.{name}",
        why,
        lambda m: getattr(m.nn.functional, name)(m.ones(*shape), **options),
        error,
        says,
    )


def conv(name, why, error, says, x, w, bias=None, **options):
    def call(m):
        b = None if bias is None else m.ones(bias)
        return getattr(m.nn.functional, name)(m.ones(*x), m.ones(*w), b, **options)

    return Refusal(f"nn.functional.{name}", why, call, error, says)


def layer(name, why, error, says, *arguments, **options):
    return Refusal(f"nn.{name}", why, lambda m: getattr(m.nn, name)(*arguments, **options), error, says)


def applied(name, why, error, says, shape, *arguments, **options):
    """A layer that is made, and refuses its input."""
    return Refusal(f"nn.{name}", why, lambda m: getattr(m.nn, name)(*arguments, **options)(m.ones(*shape)), error, says)


def integers(name, *arguments, dims=2):
    return Refusal(
        f"nn.functional.{name}",
        "integers",
        lambda m: getattr(m.nn.functional, name)(m.ones(*SHAPES[dims]).long(), *arguments),
        RuntimeError,
        (name, "floating-point", "int64"),
    )


CONV = [
    *[
        row
        for d in (1, 2, 3)
        for row in (
            conv(f"conv{d}d", "an input of too few axes", RuntimeError, (r"\(N, C, ", r"not \(4,\)"), (4,),
                 (1, 2) + (2,) * d),
            conv(f"conv{d}d", "a kernel larger than the input", RuntimeError, (r"spans \(5,", "padded input"),
                 SHAPES[d], (1, 2) + (5,) * d),
            conv(f"conv{d}d", "channels that do not match", RuntimeError, ("expects 3 input channels", r"\(1, 2, 4"),
                 SHAPES[d], (1, 3) + (2,) * d),
            layer(f"Conv{d}d", "groups that do not divide", ValueError, ("groups=2", "in_channels=3"), 3, 4, 2,
                  groups=2),
            layer(f"Conv{d}d", "an unknown padding", ValueError, ("valid", "same", "'half'"), 3, 4, 2, padding="half"),
            conv(f"conv_transpose{d}d", "channels that do not match", RuntimeError,
                 ("expects 3 input channels", r"\(1, 2, 4"), SHAPES[d], (3, 1) + (2,) * d),
            conv(f"conv_transpose{d}d", "output_padding of a stride", RuntimeError,
                 ("output_padding must be smaller", r"\(1,"), SHAPES[d], (2, 1) + (2,) * d, output_padding=1),
            conv(f"conv_transpose{d}d", "nothing left", RuntimeError, ("output of size", "padding must be smaller"),
                 SHAPES[d], (2, 1) + (2,) * d, padding=3),
            layer(f"ConvTranspose{d}d", "another padding_mode", ValueError, ("padding_mode", "'zeros'", "'reflect'"),
                  3, 4, 2, padding_mode="reflect"),
        )
    ],
    conv("conv2d", "a weight of three axes", RuntimeError, ("weight must have 4 axes", r"\(1, 2, 3\)"), IMAGE,
         (1, 2, 3)),
    conv("conv2d", "groups that do not divide", RuntimeError, ("groups must divide the 3", "got 2"), IMAGE,
         (3, 1, 2, 2), groups=2),
    conv("conv2d", "no groups", RuntimeError, ("groups must be at least 1", "got 0"), IMAGE, (2, 2, 2, 2), groups=0),
    conv("conv2d", "half a group", TypeError, ("groups must be an int", "0.5"), IMAGE, (2, 2, 2, 2), groups=0.5),
    conv("conv2d", "a bias of another size", RuntimeError, (r"bias must have shape \(2,\)", r"\(3,\)"), IMAGE,
         (2, 2, 2, 2), 3),
    conv("conv2d", "stride 0", RuntimeError, ("stride must be at least 1", "got 0"), IMAGE, (2, 2, 2, 2), stride=0),
    conv("conv2d", "a stride that is no int", TypeError, ("stride must be an int or 2 ints", "1.5"), IMAGE,
         (2, 2, 2, 2), stride=1.5),
    conv("conv2d", "three strides", RuntimeError, ("stride must be an int or 2 ints", r"\(1, 1, 1\)"), IMAGE,
         (2, 2, 2, 2), stride=(1, 1, 1)),
    conv("conv2d", "negative padding", RuntimeError, ("padding must be at least 0", "-1"), IMAGE, (2, 2, 2, 2),
         padding=-1),
    conv("conv2d", "padding 'same' with a stride", RuntimeError, ("needs stride 1", r"\(2, 2\)"), IMAGE, (2, 2, 2, 2),
         padding="same", stride=2),
    Refusal("nn.functional.conv2d", "two dtypes",
            lambda m: m.nn.functional.conv2d(m.ones(*IMAGE), m.ones(1, 2, 2, 2).double()), RuntimeError,
            ("conv2d", "float32", "float64")),
    layer("Conv2d", "an unknown padding_mode", ValueError, ("padding_mode", "'circular'", "'mirror'"), 3, 4, 2,
          padding_mode="mirror"),
    layer("Conv2d", "padding 'same' with a stride", ValueError, ("needs stride 1", "2"), 3, 4, 2, padding="same",
          stride=2),
    Refusal("nn.ConvTranspose2d", "an output_size out of reach",
            lambda m: m.nn.ConvTranspose2d(2, 1, 3, stride=2)(m.ones(*IMAGE), output_size=(20, 9)), ValueError,
            ("output_size must be from", r"\(20, 9\)")),
]  # fmt: skip

POOL = [
    *[
        row
        for kind in ("max", "avg")
        for d in (1, 2, 3)
        for row in (
            function(f"{kind}_pool{d}d", "an input of too few axes", RuntimeError, (r"\(N, C, ", r"not \(4,\)"), 4,
                     kernel_size=2),
            function(f"{kind}_pool{d}d", "a window larger than the input", RuntimeError, ("kernel_size 5", "spans 5"),
                     *SHAPES[d], kernel_size=5),
            function(f"{kind}_pool{d}d", "too much padding", RuntimeError, ("at most half", r"\(2,"), *SHAPES[d],
                     kernel_size=3, padding=2),
            applied(f"{kind.title()}Pool{d}d", "stride 0", RuntimeError, ("stride must be at least 1", "0"), SHAPES[d],
                    2, 0),
            integers(f"{kind}_pool{d}d", 2, dims=d),
            function(f"adaptive_{kind}_pool{d}d", "a negative size", RuntimeError, ("output_size", "at least 0", "-1"),
                     *SHAPES[d], output_size=-1),
            function(f"adaptive_{kind}_pool{d}d", "too many sizes", RuntimeError, ("output_size", r"\(1, 1, 1, 1\)"),
                     *SHAPES[d], output_size=(1, 1, 1, 1)),
            applied(f"Adaptive{kind.title()}Pool{d}d", "an empty image", RuntimeError, ("may be empty", r"\(1, 2, 0"),
                    (1, 2, 0) + (4,) * (d - 1), 1),
        )
    ],
    *[
        row
        for d in (1, 2, 3)
        for row in (
            function(f"lp_pool{d}d", "a window larger than the input", RuntimeError, ("kernel_size 5", "spans 5"),
                     *SHAPES[d], norm_type=2, kernel_size=5),
            applied(f"LPPool{d}d", "a window of nothing", RuntimeError, ("kernel_size must be at least 1", "0"),
                    SHAPES[d], 2, 0),
            Refusal(f"nn.functional.max_unpool{d}d", "an index outside",
                    lambda m, d=d: getattr(m.nn.functional, f"max_unpool{d}d")(
                        m.ones(1, 1, *[1] * d), m.full((1, 1, *[1] * d), 2**d), 2),
                    RuntimeError, (rf"indices must be in \[0, {2**d}\)", f"got {2**d}")),
            Refusal(f"nn.MaxUnpool{d}d", "indices of another shape",
                    lambda m, d=d: getattr(m.nn, f"MaxUnpool{d}d")(2)(m.ones(*SHAPES[d]), m.ones(1).long()),
                    RuntimeError, ("input and indices", r"\(1, 2, 4", r"\(1,\)")),
        )
    ],
    function("avg_pool2d", "divisor 0", RuntimeError, ("divisor_override must not be 0",), *IMAGE, kernel_size=2,
             divisor_override=0),
    function("avg_pool3d", "divisor 0", RuntimeError, ("divisor_override must not be 0",), *SHAPES[3], kernel_size=2,
             divisor_override=0),
    Refusal("nn.functional.max_unpool2d", "an output_size out of reach",
            lambda m: m.nn.functional.max_unpool2d(m.ones(1, 1, 1), m.ones(1, 1, 1).long(), 2, output_size=(9, 2)),
            ValueError, ("output_size", r"\(9, 2\)")),
]  # fmt: skip

PAD = [
    layer(f"{kind}Pad{d}d", "too many numbers", ValueError, (f"an int or {2 * d} ints", r"\(1, 2, 3\)"), (1, 2, 3),
          *([0.0] if kind == "Constant" else []))
    for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
    for d in (1, 2, 3)
]  # fmt: skip

RESIZE = [
    function("interpolate", "neither size nor scale", ValueError, ("either size or scale_factor", "None"), *IMAGE),
    function("interpolate", "both size and scale", ValueError, ("either size or scale_factor", "size=2"), *IMAGE,
             size=2, scale_factor=2),
    function("interpolate", "an unknown mode", NotImplementedError, ("mode", "bilinear", "'lanczos'"), *IMAGE, size=2,
             mode="lanczos"),
    function("interpolate", "a mode of another rank", NotImplementedError, ("'linear' needs an input of 3 axes",
             r"\(1, 2, 4, 4\)"), *IMAGE, size=2, mode="linear"),
    function("interpolate", "align_corners of nearest", ValueError, ("align_corners", "'nearest'"), *IMAGE, size=2,
             align_corners=True),
    function("interpolate", "antialias of nearest", ValueError, ("antialias", "'nearest'"), *IMAGE, size=2,
             antialias=True),
    function("interpolate", "three sizes", ValueError, ("2 numbers", r"\(1, 2, 3\)"), *IMAGE, size=(1, 2, 3)),
    function("interpolate", "a size that is no int", TypeError, ("size must be an int", "2.5"), *IMAGE, size=2.5),
    function("interpolate", "a size of 0", RuntimeError, ("must not be empty", r"\(0, 0\)"), *IMAGE, size=0),
    function("interpolate", "a size to recompute", ValueError, ("recompute_scale_factor needs scale_factor",), *IMAGE,
             size=2, recompute_scale_factor=True),
    Refusal("nn.functional.interpolate", "integers",
            lambda m: m.nn.functional.interpolate(m.ones(*IMAGE).long(), 2), RuntimeError, ("floating-point", "int64")),
    applied("Upsample", "neither size nor scale", ValueError, ("either size or scale_factor",), IMAGE),
    applied("UpsamplingNearest2d", "a negative scale", RuntimeError, ("must not be empty", "-8"), IMAGE, None, -2.0),
    applied("UpsamplingBilinear2d", "three axes", NotImplementedError, ("needs an input of 4 axes", r"\(2, 4, 4\)"),
            (2, 4, 4), 2),
]  # fmt: skip

REARRANGE = [
    function("unfold", "a window larger than the image", RuntimeError, ("kernel_size 5", "spans 5"), *IMAGE,
             kernel_size=5),
    integers("unfold", 2),
    applied("Unfold", "an input of two axes", RuntimeError, (r"\(N, C, H, W\)", r"not \(4, 4\)"), (4, 4), 2),
    function("fold", "another number of windows", RuntimeError, (r"L = 3·3 windows", r"not \(1, 4, 5\)"), 1, 4, 5,
             output_size=(4, 4), kernel_size=2),
    applied("Fold", "rows that are no windows", RuntimeError, (r"C·4", r"not \(1, 3, 9\)"), (1, 3, 9), (4, 4), 2),
    function("pixel_shuffle", "channels that do not divide", RuntimeError, ("3 channels", "= 4"), 1, 3, 4, 4,
             upscale_factor=2),
    applied("PixelShuffle", "two axes", RuntimeError, (r"\(…, C, H, W\)", r"not \(4, 4\)"), (4, 4), 2),
    function("pixel_unshuffle", "an odd width", RuntimeError, ("width 3", "downscale_factor 2"), 1, 1, 4, 3,
             downscale_factor=2),
    applied("PixelUnshuffle", "a factor of 0", RuntimeError, ("downscale_factor must be at least 1", "0"), IMAGE, 0),
    function("channel_shuffle", "groups that do not divide", RuntimeError, ("divide the 3 channels", "got 2"), 1, 3, 4,
             groups=2),
    applied("ChannelShuffle", "half a group", TypeError, ("groups must be an int", "0.5"), IMAGE, 0.5),
]  # fmt: skip

CONVOLUTIONS = CONV + POOL + PAD + RESIZE + REARRANGE
