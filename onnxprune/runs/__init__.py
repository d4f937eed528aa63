"""What every command that works in a folder shares: its files, its options, what it was made for.

folder.py     run.json, the lock, files written whole or not at all
state.py      how a run ends, and whether its inputs are what they were
config.py     options as flat keys and as a TOML file
identity.py   sha256 of models and samples
parts.py      the parts of the samples
versions.py   of the packages that decide figures
"""
