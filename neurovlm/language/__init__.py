"""Words: tokenizer, cross-attention to the token memory, caption decoder, metrics."""
