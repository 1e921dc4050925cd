"""The REST resources, their serializers and filters, and the pages that document them.

It may import `dashboard.api.protocol`, the base files of `dashboard`, `rl_training` and `quantum_trader`. Only
`quantum_trader.urls` and the settings refer to it.
"""
