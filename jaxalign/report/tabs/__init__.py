"""The tabs of a report, and the part of an alignment that each reads."""
