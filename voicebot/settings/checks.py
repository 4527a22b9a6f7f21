"""What is wrong with settings of which each one by itself is right."""

from __future__ import annotations

from voicebot.settings.table import Settings


def faults(settings: Settings) -> list[str]:
    """A full sentence for each fault."""
    found = _chain_faults(settings)
    if settings.silence_hangup <= settings.silence_warning:
        found.append(
            f"SILENCE_HANGUP_TIMEOUT={settings.silence_hangup:g}: must be above "
            f"SILENCE_WARNING_TIMEOUT ({settings.silence_warning:g})"
        )
    return found


def _chain_faults(settings: Settings) -> list[str]:
    """Whoever is named in a chain needs a key, somebody must be in it, and the rules come last."""
    keys = {
        "deepgram": ("DEEPGRAM_API_KEY", settings.deepgram_api_key),
        "openai": ("OPENAI_API_KEY", settings.openai_api_key),
        "openai_realtime": ("OPENAI_API_KEY", settings.openai_api_key),
        "groq": ("GROQ_API_KEY", settings.groq_api_key),
        "groq_spare": ("GROQ_API_KEY", settings.groq_api_key),
        "local": ("EMBEDDED_ENGINE=true", settings.embedded_engine),
        "rules": ("nothing", True),
    }
    chains = {
        "STT_CHAIN": (settings.stt_chain, ("deepgram", "local")),
        "LLM_CHAIN": (settings.llm_chain, ("groq", "groq_spare", "rules")),
        "TTS_CHAIN": (settings.tts_chain, ("openai", "openai_realtime", "deepgram", "local")),
    }
    faults = []
    for env, (chain, automatic) in chains.items():
        if not chain and not any(keys[name][1] for name in automatic):
            wanted = dict.fromkeys(keys[name][0] for name in automatic if name != "local")
            needed = " or ".join(wanted)
            faults.append(
                f"{env}=auto: there is nobody: EMBEDDED_ENGINE=false (the image `cloud` has no "
                f"offline engine), and no key is set. Set {needed}, or use the image `full`"
            )
        faults += [
            f"{env}={','.join(chain)}: {name} needs {keys[name][0]}, which is "
            + ("false" if name == "local" else "empty")
            for name in chain
            if not keys[name][1]
        ]
    if settings.llm_chain and settings.llm_chain[-1] != "rules":
        faults.append(f"LLM_CHAIN={','.join(settings.llm_chain)}: must end with rules")
    return faults
