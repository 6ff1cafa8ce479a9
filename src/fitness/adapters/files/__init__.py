"""Recorded files: FIT, GPX and TCX, read by the libraries that know them."""
