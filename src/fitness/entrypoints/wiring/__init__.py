"""The composition root, and the only place that imports adapters: what is made, when it opens and closes, on what."""
