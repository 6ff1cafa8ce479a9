"""Uploaded pictures, read by Pillow."""
