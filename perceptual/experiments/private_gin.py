"""Every use of a private name of gin, except its parser's (`restricted_gin`), with its reason.

An upgrade of gin that breaks something breaks it here; `setup.py` holds it to one minor version.
"""

import gin


def bound():
  """Returns (scope, selector) of all that is bound, macros too, whose selector is `gin.macro`.

  `gin.config_str` gives the same as text, which would have to be parsed again.
  """
  return tuple(gin.config._CONFIG)


def used():
  """Returns (scope, selector) of all that was called with a binding so far.

  `gin.operative_config_str` gives the same as text, with the defaults of what was not bound.
  """
  return tuple(gin.config._OPERATIVE_CONFIG)


def macros_referred_to():
  """Returns the names of the macros that bindings refer to, which nothing public lists."""
  references = gin.config.iterate_references(
      gin.config._CONFIG, to=gin.config.get_configurable(gin.config.macro))
  return {reference.config_key[0] for reference in references}


def is_reference(value):
  """Whether a bound value refers to a configurable, as `@name()`; gin exports no such type."""
  return isinstance(value, gin.config.ConfigurableReference)
