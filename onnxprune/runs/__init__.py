"""What every command that works in a folder shares: its files, its options, what it was made for.

folder.py     run.json, the lock, files written whole or not at all
opening.py    runs that are made, and those that are there
replaced.py   what --force replaces
begin.py      how a run begins and goes on
state.py      how a run ends, what it tells, and whether its inputs are what they were
config.py     options as flat keys and as a TOML file
identity.py   sha256 of models and samples
parts.py      the parts of the samples
board.py      figures for TensorBoard
versions.py   of the packages that decide figures
"""
