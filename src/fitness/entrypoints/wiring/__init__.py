"""The composition root, and the only place that imports adapters: the container, its lifecycle, the stores, doctor."""
