"""A plugin of pytest's for runs with a plant: hypothesis need find an example that fails, and not the smallest one."""

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate))
settings.load_profile("unshrunk")
