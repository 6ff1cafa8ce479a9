"""Passwords by argon2id, access tokens as JSON Web Tokens."""
