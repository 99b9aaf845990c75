"""The operator under load, beside a bare client and a naive kopf operator."""
