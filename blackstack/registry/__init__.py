"""What a registry holds under an image's name: asked over HTTP, nothing pulled."""

from blackstack.registry.client import Manifest, Registry
from blackstack.registry.reference import Reference, held, parse, short_id
from blackstack.registry.refusal import NotThereError, RegistryError

__all__ = ["Manifest", "NotThereError", "Reference", "Registry", "RegistryError", "held", "parse", "short_id"]
