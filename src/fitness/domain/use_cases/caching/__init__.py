"""The cache policy, all of it: which values are cached, how they are read, and how a change makes them invalid.

A cached value is never older than a change that was acknowledged: its generation is taken before the database is read,
and a change gives its scopes a new generation after the commit and before the answer.
"""
