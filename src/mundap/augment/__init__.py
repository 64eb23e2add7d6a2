"""Fill the gaps by a model: repaired questions, new ones, dialogues, translations; each made row says so and is checked."""
