"""Collect: doctors' answers from sites and files, as records that say where they came from."""
