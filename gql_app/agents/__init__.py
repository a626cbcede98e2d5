"""The tool `agent`: a language model that calls tools until it has an answer."""
