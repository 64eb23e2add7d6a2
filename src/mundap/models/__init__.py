"""Language models behind one protocol; the registry knows their names."""
