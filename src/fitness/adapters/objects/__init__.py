"""Objects in a folder or an S3-compatible store."""
