"""Choosing an encoder for a task: criteria on few labels, judged by errors on many."""
