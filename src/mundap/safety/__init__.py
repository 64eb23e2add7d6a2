"""What stands outside every model: triage, fixed replies, the guard over what models write."""
