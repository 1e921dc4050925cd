from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "rl_training.accounts"
    label = "accounts"
    verbose_name = "Accounts"
