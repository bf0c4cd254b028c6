"""Which model providers have a key in an environment: by the names of settings alone. No key is printed."""

import os
from collections.abc import Mapping

from agentspan.cli._checks import Check

SETTINGS = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"),
    "vertex": ("GOOGLE_APPLICATION_CREDENTIALS", "ANTHROPIC_VERTEX_PROJECT_ID"),
    **{
        name: (f"{name.upper()}_API_KEY",)
        for name in ("deepseek", "fireworks", "groq", "mistral", "openrouter", "together", "xai")
    },
}
"""What lets a server in at each; a setting may stand in a file that `<SETTING>_FILE` names."""

PLACES = {"bedrock": ("AWS_REGION", "AWS_DEFAULT_REGION"), "vertex": ("CLOUD_ML_REGION",)}
"""Where those are asked that are in many places: one of these is needed as well."""

ALWAYS_TOLD = ("anthropic", "openai")
FILES = ("GOOGLE_APPLICATION_CREDENTIALS",)
"""Settings that are a file's name themselves."""

ADDRESS = "_BASE_URL"
UNREADABLE = "can't be read"


def check(environ: Mapping[str, str]) -> Check:
    """Those that are told always, and the others that have something set."""
    found = {name: _standing(settings, environ) for name, settings in SETTINGS.items()}
    found |= {name: "address set" for name in _addressed(environ) if not found.get(name)}
    told = {name: how or "not set" for name, how in found.items() if how or name in ALWAYS_TOLD}
    said = ", ".join(f"{name}: {how}" for name, how in told.items())
    nowhere = [name for name, places in PLACES.items() if found.get(name) and not any(map(environ.get, places))]
    if UNREADABLE in said:
        return Check("model keys", "fail", said, "make the file readable to who runs the server")
    if not any(found.values()):
        next_step = "set one where the server is started; replay/…, scripted/… and ollama/… models need none"
        return Check("model keys", "warn", f"{said}, in this environment", next_step)
    if nowhere:
        missing = PLACES[nowhere[0]][0]
        return Check(
            "model keys", "warn", f"{said}; {nowhere[0]} without {missing}", f"set {missing}: where it is asked"
        )
    return Check("model keys", "ok", f"{said}, in this environment (a server reads its own)")


def _standing(settings: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """How it is set; None when it is not."""
    for setting in settings:
        is_file = setting in FILES
        if environ.get(setting, "").strip() and not is_file:
            return "set"
        name = setting if is_file else f"{setting}_FILE"
        if path := environ.get(name):
            return f"set by {name}" if os.access(path, os.R_OK) else f"the file of {name} {UNREADABLE}"
    return None


def _addressed(environ: Mapping[str, str]) -> list[str]:
    """Endpoints of one's own, which have an address and perhaps no key."""
    names = (name.removesuffix(ADDRESS) for name in sorted(environ) if name.endswith(ADDRESS) and environ[name])
    return [name.lower().replace("_", "-") for name in names if not name.startswith(("ANTHROPIC", "AGENTSPAN"))]
