"""What evaluates atoms: the contract, the model cards, one file a model."""

from uniscreen.potentials.cards import ModelCard, find_card, model_cards
from uniscreen.potentials.loading import load_potential, resolve_device, resolve_model

__all__ = ["ModelCard", "find_card", "load_potential", "model_cards", "resolve_device", "resolve_model"]
