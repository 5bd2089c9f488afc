"""What scores and embeddings tell about models: claims of cards, checked."""
