"""A conversation: one turn is triage, retrieve, write, guard."""
