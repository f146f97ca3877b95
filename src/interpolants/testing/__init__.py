"""Laws of methods, for those of other distributions: what the library's own methods are tried against."""

from interpolants.testing.method_laws import METHOD_CHECKS, check_method
from interpolants.testing.trial import Instance, Trial

__all__ = ["METHOD_CHECKS", "Instance", "Trial", "check_method"]
