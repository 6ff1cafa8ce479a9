"""One service class per aggregate, a method per use case."""
