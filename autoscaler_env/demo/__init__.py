"""Watch policies scale a service: in a notebook, on a web page, in the terminal, as a picture or as a film.

Every public name comes from here: `from autoscaler_env.demo import ControlRoom`. A module is imported when one of its
names is used for the first time.
"""

import lazy_loader

# `__init__.pyi` lists the names and their modules.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
