"""What memory makes of itself: facts out of conversations, corrections, topics, fading; and what keeps poison out."""
