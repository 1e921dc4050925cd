from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with the smallest parameters that OWASP recommends: 19 MiB and two passes.

    Django's own parameters take 100 MiB and eight threads for each login.
    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    """

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
