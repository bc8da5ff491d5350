"""Search with a trained model: completions rolled back to earlier states, beside decoding without a search."""
