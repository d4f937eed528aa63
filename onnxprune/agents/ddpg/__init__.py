"""Deep deterministic policy gradients over keep ratios: what the agents amc and agmc share.

options.py        how they explore and learn
networks.py       actor and critic
learner.py        one update
memory.py         the last episodes
exploration.py    random actions, then noise that falls
rewards.py        what an outcome is worth, and what is usual
shares.py         from kept counts to masks
agent.py          all of it behind the agents' interface, but for the walk
"""
