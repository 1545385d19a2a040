"""The S3-compatible object store: the only package that speaks obstore."""
