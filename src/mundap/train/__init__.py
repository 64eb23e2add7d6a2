"""Tuning a model on the dataset, and what follows: merging, exporting, publishing."""
