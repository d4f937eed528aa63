"""The options of a compression as flat keys such as "distill.epochs", and the TOML file that holds them.

values = read_config(Path("run.toml"))     {"target": ("macs=50%",), "distill.epochs": 20}
options = make_options(values)
write_config(Path("config.toml"), options)
"""

from onnxprune.compression.options import SECTIONS, CompressOptions
from onnxprune.runs.config import Schema

REQUIRED = {
    "model": "the model's file",
    "data": "--data val.npz; it needs no labels",
    "target": "--target macs=50%",
}
SCHEMA = Schema("compress", CompressOptions, SECTIONS, REQUIRED)
KEYS = SCHEMA.keys
read_config, make_options, write_config = SCHEMA.read, SCHEMA.make, SCHEMA.write
values_of = SCHEMA.values
