"""Asking models many questions at once: in order, at a pace, within a budget, never twice."""
