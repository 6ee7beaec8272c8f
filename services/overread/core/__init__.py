"""The nouns: what the rooms speak about. No I/O; imports nothing of ours."""
