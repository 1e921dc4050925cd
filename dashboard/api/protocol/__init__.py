"""The rules that all resources share: errors, pagination, parsing, rate limits, permissions and the schema's form.

It may import the base files of `dashboard`, `rl_training` and `quantum_trader`, but no resource of `dashboard.api`.
"""
