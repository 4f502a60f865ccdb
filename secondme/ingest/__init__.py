"""From files on the disk to chunks with embeddings in the store."""
