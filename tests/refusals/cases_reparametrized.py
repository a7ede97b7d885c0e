"""Bad inputs: weight_norm and spectral_norm."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def refused(of, why, call, error, *says):
    return Refusal(f"nn.utils.{of}", why, lambda m: call(m.nn.utils, m.nn.Linear(3, 2)), error, says)


REPARAMETRIZED = [
    refused("weight_norm", "twice", lambda U, x: U.weight_norm(U.weight_norm(x)), RuntimeError, "weight", "already"),
    refused("weight_norm", "no such", lambda U, x: U.weight_norm(x, "w"), AttributeError, "Linear", "'w'"),
    refused("remove_weight_norm", "none", lambda U, x: U.remove_weight_norm(x), ValueError, "'weight'", "Linear"),
    refused("spectral_norm", "twice", lambda U, x: U.spectral_norm(U.spectral_norm(x)), RuntimeError, "already"),
    refused("spectral_norm", "no steps", lambda U, x: U.spectral_norm(x, n_power_iterations=0), ValueError,
            "n_power_iterations", "0"),
    refused("spectral_norm", "no such", lambda U, x: U.spectral_norm(x, "w"), AttributeError, "'w'"),
    refused("remove_spectral_norm", "none", lambda U, x: U.remove_spectral_norm(x), ValueError, "'weight'", "Linear"),
]  # fmt: skip
