"""HTTP through Litestar: one module per resource."""
