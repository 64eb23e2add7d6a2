"""The safety layer: triage before any model, fixed replies, hotlines. Import the modules; nothing is loaded here."""
