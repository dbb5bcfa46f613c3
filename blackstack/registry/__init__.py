"""What a registry holds under an image's name: asked over HTTP, nothing pulled."""

from blackstack.registry.client import Manifest, NotThereError, Registry, RegistryError
from blackstack.registry.reference import Reference, held, parse

__all__ = ["Manifest", "NotThereError", "Reference", "Registry", "RegistryError", "held", "parse"]
