"""`/healthz`, `/readyz` and `/metrics`, and the measurements that they report.

It may import the base files of `dashboard`, `rl_training` and `quantum_trader`, but no other room of `dashboard`.
"""
