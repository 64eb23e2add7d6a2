"""The cleaning stage: records in, records and reasons out. `stage.py` runs it; every other file is one part of it."""
