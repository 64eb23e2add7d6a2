"""The embedded, cited knowledge: topics as data, checked when loaded."""
