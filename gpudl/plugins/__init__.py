"""Plugins: everything a network is made of comes through the hooks of `gpudl.hookspecs`, the built-ins included."""
