"""Finds what memory holds about a question: words and vectors, fused, with the sentence that bears on it."""
