"""Pictures of other servers."""
