"""Learning: the pool, whose answer teaches most, and the round that fine-tunes the champion on the answers."""
