"""The rules of training activities: pure, and importing nothing but the standard library."""
