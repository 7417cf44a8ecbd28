"""What albo costs and how good it is, measured side by side with its peers.

`python -m benchmarks [NAME...]` runs one subject or all and writes `benchmarks/RESULTS.md`.
"""
