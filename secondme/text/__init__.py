"""What is known of language without a model: words and stems, sentences, dates, names. Knows nothing of memory."""
