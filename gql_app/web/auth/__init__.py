"""Who is let in: by API keys and by JWTs."""
