"""The table: every layer, in every configuration that its code distinguishes."""

from __future__ import annotations

from tests.nn.layers.cases_activation import ACTIVATIONS
from tests.nn.layers.cases_attention import ATTENTION
from tests.nn.layers.cases_conv import CONVOLUTIONS
from tests.nn.layers.cases_loss import LOSSES
from tests.nn.layers.cases_normalization import NORMALIZATION
from tests.nn.layers.cases_recurrent import LAYERS as RECURRENT
from tests.nn.layers.cases_reparametrized import REPARAMETRIZED
from tests.nn.layers.layer import Layer

TABLE: list[Layer] = [*ATTENTION, *NORMALIZATION, *CONVOLUTIONS, *ACTIVATIONS, *LOSSES, *RECURRENT]
TABLE += REPARAMETRIZED
