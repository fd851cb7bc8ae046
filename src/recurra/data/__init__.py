"""From files to batches: text (or note sets), vocabulary, corpus, batches."""
