"""What a validation error found, for people and for forms."""

from pydantic import ValidationError


def problems(error: ValidationError) -> dict[str, str]:
    """Messages by field: `{"ppo.gamma": "Input should be less than or equal to 1, got 2"}`.

    The message of a rule between fields starts with the field that it is about, which becomes the key.
    """
    found = {}
    for detail in error.errors(include_url=False):
        path = [str(part) for part in detail["loc"]]
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "value_error":
            field, message = message.split(": ", 1)
            path.append(field)
        elif detail["type"] not in ("missing", "extra_forbidden"):
            message = f"{message}, got {str(detail['input'])[:100]}"
        found[".".join(path)] = message
    return found
