"""How networks are trained, as data; the TOML files here are those that come with the package."""
