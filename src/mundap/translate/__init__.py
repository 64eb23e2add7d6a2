"""Texts between Korean and English: engines behind one protocol, and the shield around all of them."""
