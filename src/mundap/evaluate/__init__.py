"""Measuring models and the whole assistant, and the items they are measured on."""
