"""The SCEPTR family: small BERTs over T-cell receptors, an ablation study in one table."""
