"""From doctors' public answers to a Korean medical chatbot that people can check and trust."""
