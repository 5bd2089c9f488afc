"""Learning with alignment: train small networks, watch them converge, distil and choose models."""
