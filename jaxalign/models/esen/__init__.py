"""eSEN and UMA: messages in the frames of edges."""
