from pathlib import Path

from quantum_trader.first_env import fill_in

EXAMPLE = (Path(__file__).parents[2] / ".env.example").read_text()


def values(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_only_secrets_are_filled_in_with_new_values_each_time():
    example, first, second = values(EXAMPLE), values(fill_in(EXAMPLE)), values(fill_in(EXAMPLE))
    secrets = {"SECRET_KEY", "FLOWER_BASIC_AUTH", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert {name for name in example if first[name] != example[name]} == secrets
    assert {name for name in example if first[name] != second[name]} == secrets
    assert all(len(first[name]) >= 16 for name in secrets)
    assert first["FLOWER_BASIC_AUTH"].startswith("admin:")
