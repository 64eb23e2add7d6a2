"""The HTTP face: an API in OpenAI's shape and a web page, over `mundap.chat`."""
