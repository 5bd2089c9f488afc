"""All pairs of models: plan, engine, resume, results."""
