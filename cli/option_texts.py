"""What options say that several commands have: what stands for the value, and what it means."""

from collections.abc import Mapping

Texts = dict[str, tuple[str, str]]

IMAGES: Texts = {  # by field of `ImageText`
    "layout": ("nchw|nhwc", "What the model wants of uint8 images."),
    "mean": ("R,G,B", "Mean of each colour, of pixels scaled to [0, 1]."),
    "std": ("R,G,B", "Standard deviation of each colour."),
    "scale": ("FACTOR", "On the pixels, before mean and std; 1/255 by default."),
    "resize": ("SIZE", "256 (shorter side) or 224x224; image files only."),
    "crop": ("HxW", "From the middle, such as 224x224; image files only."),
    "colors": ("rgb|bgr|gray", "What the model wants; image files only."),
}
CHANNELS: Texts = {  # by field of `ChannelSettings`
    "align": ("N", "auto, or a number of channels."),
    "device": ("NAME", "Where the model will run, for --align auto and latencies."),
    "min_keep": ("SHARE", "Least share, or number, of channels kept in each group."),
    "skip": ("REGEX", "Leave what matches alone; repeatable."),
    "only": ("REGEX", "Prune only what matches; repeatable."),
    "heads": ("", "Whole attention heads (or groups of a Conv)."),
}
SHAPE = ("NAME:1,3,224,224", "Extents of a free input.")
DATA = ("SPEC", "x.npz, x.npy, a folder of them or of images, CIFAR-10, module:function.")
CACHE = "Where times measured for latency targets are kept; else $ONNXPRUNE_CACHE, or the user's cache."
ROWS: Texts = {
    "map": ("KEY=INPUT", "A key of the data for an input; repeatable."),
    "samples": ("N", "At most so many rows of each part."),
}


def below(section: str, texts: Mapping[str, tuple[str, str]]) -> Texts:
    """The same for keys in a section of a configuration."""
    return {f"{section}.{name}": text for name, text in texts.items()}
