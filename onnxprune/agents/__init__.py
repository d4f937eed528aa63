"""Agents: what proposes masks in a search. Each is a sibling that knows no other."""
