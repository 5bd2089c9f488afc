"""What networks over atoms share: neighbor graphs and equivariant algebra."""
