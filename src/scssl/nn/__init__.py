"""Parts of networks: encoders, heads, losses. Plain torch, no AnnData."""
