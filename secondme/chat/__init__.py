"""A question becomes an answer with citations: prompt, streamed decode, marks."""
