"""What independent representations would score: nulls, p-values, calibration, false discovery."""
