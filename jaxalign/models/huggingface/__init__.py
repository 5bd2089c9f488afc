"""Models in the Hugging Face layout: config.json, weights and a tokenizer in one folder."""
