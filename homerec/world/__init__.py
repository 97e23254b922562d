"""A simulated audio app whose truth is known: data to demonstrate, test and benchmark with."""

from homerec.world.generating import World, WorldReport, generate
from homerec.world.parameters import Parameters, load_parameters
from homerec.world.truth import Truth, truth

__all__ = [
    "Parameters",
    "Truth",
    "World",
    "WorldReport",
    "generate",
    "load_parameters",
    "truth",
]
